"""Exit 0 when a page of this container answers 200: ``python -I http_ok.py PORT PATH``. Some 40 ms of CPU a probe."""

import http.client
import sys

port, path = int(sys.argv[1]), sys.argv[2]
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
try:
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read(2000).decode(errors="replace")
except OSError as error:
    sys.exit(f"port {port}: {error}")
if answer.status != 200:
    sys.exit(f"{path}: {answer.status} {text}")
