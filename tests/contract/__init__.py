"""The reactive contract: rules that every operator keeps, each tested over all operators.

`registry.py` has the operators, `probe.py` watches them from above and from below, and
`virtual_loop.py` runs them in virtual time. `interleaving.py` puts what may happen at the same time
into every order. A test's name begins with the rules that it is of.
"""

RULES = {
    "R1": "Items come first, then one error or one completion, or neither.",
    "R2": "Signals come one at a time, on one thread; those of another thread are refused.",
    "R3": "Nothing follows the end, even if a source goes on.",
    "R4": "Of two ends at one instant one is told, the first.",
    "R5": "dispose may be called any number of times, from any thread, and releases once.",
    "R6": "Nothing comes after dispose has returned.",
    "R7": "dispose within on_next stops a synchronous source at once.",
    "R8": "dispose before subscribe has returned is honoured.",
    "R9": "dispose, an error and the completion end every inner subscription, task and timer.",
    "R10": "An end releases what is above.",
    "R11": "An error of the source arrives at once, as the same object, after what came before it.",
    "R12": "An exception of a user's function arrives in on_error; what is no Exception passes.",
    "R13": "A subscriber or a branch that fails takes nothing from the others.",
    "R14": "A subscriber that raises at the end releases everything all the same.",
    "R15": "Every subscription gets an equal sequence: no state is shared.",
    "R16": "Nothing is asked before subscribe, and once in each subscription.",
    "R17": "What a subscriber feeds back keeps its order, and costs no stack.",
    "R18": "subscribe returns at once, before anything comes.",
    "R19": "Every queue has a bound, and a stated policy for what exceeds it.",
    "R20": "Who takes nothing stops the reading from the socket.",
    "R21": "A stream is cold: who comes late gets everything.",
    "R22": "A shared request is open exactly while somebody is subscribed.",
    "R23": "Time is kept by the given scheduler only.",
    "R24": "What passes everything on loses nothing and keeps the order.",
    "R25": "Nothing comes twice, unless it is asked for twice.",
    "R26": "Context variables are the subscriber's, and never another stream's.",
    "R27": "What is over keeps no reference to observer, items or request.",
    "R28": "Every way out of a stream releases it once, in silence.",
}
