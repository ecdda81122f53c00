"""Drives headless Chromium, and reads its pictures."""

import base64
import json
import os
import struct
import subprocess
import sys
import threading
import zlib

MAX_SECONDS = 180


class Browser:
    """Drives headless Chromium through its debugging pipe: JSON that ends with a zero byte.

    Scripts that are evaluated through it run in spite of the page's policy.
    """

    def __init__(self, command, profile):
        commands, to_browser = os.pipe()
        from_browser, answers = os.pipe()

        def connect():
            # The browser reads from 3 and writes to 4. Neither copy may overwrite an end of a pipe.
            ends = [os.dup(end) for end in (commands, answers)]
            while min(ends) < 5:
                ends = [os.dup(end) for end in ends]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        # A sandbox needs more rights than a container has, and shared memory more of it. The pages are
        # our own.
        options = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        options += ["--hide-scrollbars"]
        options += ["--no-first-run", f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        self.process = subprocess.Popen(
            [command, *options],
            preexec_fn=connect,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.watchdog = threading.Timer(MAX_SECONDS, self.process.kill)
        self.watchdog.start()
        self.output = os.fdopen(to_browser, "wb", buffering=0)
        self.input = os.fdopen(from_browser, "rb", buffering=0)
        self.unread = b""
        self.number = 0
        self.events = []
        self.session = None
        self.fetched = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Network.enable")

    def close(self):
        self.session = None
        if self.process.poll() is None:
            self.call("Browser.close")
            self.process.wait()
        self.watchdog.cancel()
        self.input.close()
        self.output.close()

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.output.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"the browser refused {method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.unread:
            part = self.input.read(1 << 20)
            if not part:
                self.process.wait()
                sys.exit(f"the browser ended, or was ended after {MAX_SECONDS} s")
            self.unread += part
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def open(self, path, width, scheme):
        """Opens a page, and waits until it is loaded."""
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())
        requests = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        self.fetched = [each["request"]["url"] for each in requests if each["type"] != "Document"]

    def evaluate(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            sys.exit(f"a script failed: {result['exceptionDetails']['exception']['description']}")
        return result["result"].get("value")

    def screenshot(self, x, y, width, height, scale):
        """Returns the pixels of a part of the page, as tuples of red, green and blue."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": scale}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return decode_png(base64.b64decode(shot["data"]))


def decode_png(image):
    """Returns the pixels of an image with 8 bits per channel that is not interlaced."""
    width, _, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", image, 16)
    if (depth, interlaced) != (8, 0) or color not in (2, 6):
        sys.exit("the browser's screenshot has another format")
    data, offset = b"", 8
    while offset < len(image):
        length, kind = struct.unpack_from(">I4s", image, offset)
        if kind == b"IDAT":
            data += image[offset + 8 : offset + 8 + length]
        offset += length + 12
    data = zlib.decompress(data)

    size = 4 if color == 6 else 3
    stride = width * size
    pixels = []
    above = bytes(stride)
    for start in range(0, len(data), stride + 1):
        line = bytearray(data[start + 1 : start + 1 + stride])
        unfilter(data[start], line, above, size)
        pixels += zip(line[0::size], line[1::size], line[2::size])
        above = line
    return pixels


def unfilter(kind, line, above, size):
    """Undoes the filter of a line of a PNG, in place."""
    if kind == 0:
        return
    for index, value in enumerate(line):
        left = line[index - size] if index >= size else 0
        up = above[index]
        corner = above[index - size] if index >= size else 0
        if kind == 1:
            predicted = left
        elif kind == 2:
            predicted = up
        elif kind == 3:
            predicted = (left + up) // 2
        else:
            slope = left + up - corner
            predicted = min((left, up, corner), key=lambda near: abs(slope - near))
        line[index] = (value + predicted) % 256
