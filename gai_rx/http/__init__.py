"""The only place that opens a connection to a provider.

`opening.py` sends a request and opens the answer's body, `session.py` keeps the connections,
`proxies.py` tells what a proxy is told, `body.py` reads bytes under the limits of `timeouts.py`,
and `failures.py` says what it means when that fails.
"""

from gai_rx.http.body import Body
from gai_rx.http.opening import get, post
from gai_rx.http.proxies import Proxy
from gai_rx.http.session import close_session
from gai_rx.http.timeouts import Timeouts

__all__ = ["Body", "Proxy", "Timeouts", "close_session", "get", "post"]
