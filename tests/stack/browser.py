"""A browser that keeps cookies and says which address it dials: one per visitor or editor."""

import http.client
import ssl
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

DEADLINE = 30.0  # seconds; the longest that a visitor would wait
_anything = ssl.create_default_context()
_anything.check_hostname = False
_anything.verify_mode = ssl.CERT_NONE


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def node(self) -> str:
        """The node that answered, where PHP did."""
        return self.headers.get("X-Node", "")

    @property
    def good(self) -> bool:
        """Whether this is a whole page of the site."""
        return self.status == 200 and b"</html>" in self.body


class Browser:
    """Requests to one site. address: where its name leads to. Not for several threads."""

    def __init__(self, site: str, address: str, port: int | None = None, *, tls: bool = True) -> None:
        self.site = site
        self.address = address
        self.port = port or (443 if tls else 80)
        self.tls = tls
        self.cookies: dict[str, str] = {}
        self.always: dict[str, str] = {}  # headers of every request

    def copy(self) -> "Browser":
        """Another window with the same cookies."""
        other = Browser(self.site, self.address, self.port, tls=self.tls)
        other.cookies = dict(self.cookies)
        other.always = self.always
        return other

    def get(self, path: str, **headers: str) -> Answer:
        """GET, without following redirections."""
        return self.request("GET", path, None, headers)

    def follow(self, path: str) -> Answer:
        """GET, following redirections within the site."""
        for _ in range(5):
            answer = self.get(path)
            if answer.status not in (301, 302, 303, 307):
                break
            parts = urlsplit(answer.headers["Location"])
            path = parts.path + (f"?{parts.query}" if parts.query else "")
        return answer

    def post(self, path: str, fields: dict[str, str]) -> Answer:
        """POST a form."""
        body = urlencode(fields).encode()
        return self.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def post_file(
        self, path: str, fields: dict[str, str], name: str, filename: str, kind: str, content: bytes
    ) -> Answer:
        """POST a form with a file, as a browser's upload does."""
        edge = "----stackformboundary"
        parts = [f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}'
        )
        body = "".join(parts).encode() + f"{head}\r\n\r\n".encode() + content + f"\r\n--{edge}--\r\n".encode()
        return self.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One request on a connection of its own. Raises OSError, HTTPException."""
        if self.tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.address, self.port, timeout=DEADLINE, context=_anything
            )
        else:
            connection = http.client.HTTPConnection(self.address, self.port, timeout=DEADLINE)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": self.site, **self.always, **({"Cookie": cookie} if cookie else {}), **headers}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            self.cookies[name.strip()] = value
        return Answer(answer.status, answer.headers, content)
