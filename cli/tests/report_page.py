"""Looks at the page of `portcullis report` in a headless Chromium.

    python3 cli/tests/report_page.py [path of the program]

Says loudly that it was skipped where there is no Chromium.
"""

import html.parser
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">\u202e\u0007"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()


def records():
    """A day of three peers, one of them hostile, with a bad hour."""
    for n in range(2000):
        who, key = [("web", "session/1"), ("batch", "cart/2"), (HOSTILE, HOSTILE)][n % 3]
        denied = n % 50 == 0 or (1200 < n < 1300 and n % 2 == 0)
        second = n * 43
        record = {
            "v": 1,
            "time": f"2026-01-31T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000Z",
            "type": "request",
            "verdict": "denied" if denied else "forwarded",
            "protocol": "memcache",
            "direction": "ingress",
            "connection": n,
            "source": "10.0.0.1:4000",
            "port": 11211,
            "remote": {"knownBy": "address", "labels": {"app": who}},
            "generation": 1,
            "fields": {"command": ["get", "set", "delete"][n % 7 % 3], "keys": [f"{key}{n % 20}"]},
        }
        record["reason" if denied else "rule"] = "no rule matches" if denied else "default/cache/l7"
        yield json.dumps(record)


def chromium(program, folder, *args):
    profile = tempfile.mkdtemp(dir=folder)
    command = [program, *FLAGS, f"--user-data-dir={profile}", *args]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout


def colours(png):
    """The colours of a picture, each with how many pixels have it."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    data, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8 and colour in (2, 6)
        elif kind == b"IDAT":
            data += body
        at += size + 12
    size = 3 if colour == 2 else 4
    raw, before, found = zlib.decompress(data), bytearray(width * size), {}
    for row in range(height):
        start = row * (width * size + 1)
        how, line = raw[start], bytearray(raw[start + 1 : start + 1 + width * size])
        for n in range(len(line)):
            left = line[n - size] if n >= size else 0
            up, corner = before[n], before[n - size] if n >= size else 0
            if how == 1:
                line[n] = (line[n] + left) & 255
            elif how == 2:
                line[n] = (line[n] + up) & 255
            elif how == 3:
                line[n] = (line[n] + (left + up) // 2) & 255
            elif how == 4:
                guess = left + up - corner
                near = min((left, up, corner), key=lambda value: (abs(guess - value)))
                line[n] = (line[n] + near) & 255
        before = line
        for n in range(0, len(line), size * 8):
            pixel = tuple(line[n : n + 3])
            found[pixel] = found.get(pixel, 0) + 1
    return found


class Facts(html.parser.HTMLParser):
    """What a reader of the page finds."""

    def __init__(self):
        super().__init__()
        self.tags, self.sortable, self.text, self.quiet = {}, 0, [], 0

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.sortable += any(name == "data-sort" for name, _ in attrs)
        self.quiet += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.quiet -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.quiet:
            self.text.append(data)


def facts(text):
    parser = Facts()
    parser.feed(text)
    return parser


def find_browser():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


NO_BROWSER = "no Chromium is installed (Debian: `apt-get install chromium`)"


def look(program, browser):
    """Fails where the page is not as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "log").write_text("\n".join(records()))
        page = folder / "page.html"
        subprocess.run([program, "report", "--to", page, folder / "log"], check=True, stdout=subprocess.DEVNULL)
        url = page.as_uri()
        written = facts(page.read_text())
        shown = facts(chromium(browser, folder, "--dump-dom", url).decode())
        assert "".join(shown.text).startswith(("Access report", "\n")), shown.text[:3]
        assert shown.sortable > 5, "our own script did not run: is SCRIPT_HASH in page.rs stale?"
        assert written.sortable == 0
        for tag in ("script", "img", "svg", "rect", "td"):
            more = shown.tags.get(tag, 0), written.tags.get(tag, 0)
            assert more[0] == more[1], f"<{tag}>: {more}"
        assert shown.tags["script"] == 1 and "img" not in shown.tags
        assert "pwned" not in "".join(shown.text[:2]), "a key ran as a script"
        for fact in ("Who does what", "Denials over time", "app=web", "no rule matches", "default/cache/l7"):
            assert any(fact in text for text in written.text), f"without scripts: {fact}"
        dark = "--blink-settings=preferredColorScheme=0"
        for name, more in (("light", []), ("dark", [dark])):
            picture = folder / f"{name}.png"
            chromium(browser, folder, "--window-size=1200,1500", f"--screenshot={picture}", *more, url)
            found = colours(picture.read_bytes())
            assert len(found) > 20, f"{name}: an empty page"
            most = max(found, key=found.get)
            assert (sum(most) < 200) == (name == "dark"), f"{name}: the page is mostly {most}"
            keep = os.environ.get("PORTCULLIS_PICTURES")
            if keep:
                shutil.copy(picture, keep)


def main():
    browser = find_browser()
    if browser is None:
        print(f"SKIPPED: report_page.py: {NO_BROWSER}", file=sys.stderr)
        return
    program = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target" / "debug" / "portcullis")
    if not os.path.exists(program):
        sys.exit(f"`{program}` is not there: run `cargo build -p portcullis-cli`, or name the program")
    look(program, browser)
    print("report_page.py: the page is as it should be, light and dark")


if __name__ == "__main__":
    main()
