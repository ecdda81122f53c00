#!/usr/bin/env python3
"""Posts bodies over a connection that is kept alive, and prints what came of each.

    keep_alive.py PORT BYTES COUNT [chunked]

A line for each request: the status, or the name of the error. The last line is the number of
connections that were opened.
"""

import http.client
import sys


class Counted(http.client.HTTPConnection):
    opened = 0

    def connect(self):
        super().connect()
        self.opened += 1


def main():
    port, length, count = (int(argument) for argument in sys.argv[1:4])
    chunked = "chunked" in sys.argv[4:]
    connection = Counted("127.0.0.1", port, timeout=30)
    for _ in range(count):
        body = b"x" * length
        if chunked:
            body = iter([body[at : at + 65_536] for at in range(0, length, 65_536)])
        try:
            headers = {"x-api-key": "alice"}
            if chunked:
                headers["transfer-encoding"] = "chunked"
            connection.request("POST", "/", body, headers, encode_chunked=chunked)
            response = connection.getresponse()
            response.read()
            print(response.status)
        except (OSError, http.client.HTTPException) as error:
            print(type(error).__name__)
            connection.close()
    print(connection.opened)


if __name__ == "__main__":
    main()
