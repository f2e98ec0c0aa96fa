"""An emulator of its own for each test, Chromium, and what can be measured of a page in it."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile

from playwright.sync_api import expect, sync_playwright

# A name that leads to this machine and is none of its own, as in DNS rebinding.
FOREIGN = "page.example.net"
PATIENCE = 15_000
expect.set_options(timeout=PATIENCE)


class Emulator:
    """The program as people start it. Its state outlives `stop`, for the next `start` on the same port."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._state = pathlib.Path(self._folder.name, "state.json")
        self._errors = pathlib.Path(self._folder.name, "stderr")
        for _ in range(5):
            self.port = free_port()
            # A port that is free now may be taken a moment later.
            if self._launch():
                break
        else:
            raise AssertionError(f"the emulator did not start: {self._errors.read_text()}")

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def _launch(self):
        arguments = [os.environ["PAGE_BINARY"], "--listen", f"127.0.0.1:{self.port}", "--snapshot-on-exit", self._state]
        if self._state.exists():
            arguments += ["--restore", self._state]
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, text=True)
        return self._process.stdout.readline().startswith("Ready.")

    def start(self):
        assert self._launch(), f"the emulator did not start again: {self._errors.read_text()}"

    def stop(self):
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def close(self):
        self.stop()
        said = self._errors.read_text()
        self._folder.cleanup()
        assert "panicked at" not in said, said


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Chromium:
    """The machine's own, without a window."""

    def __init__(self):
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=os.environ["PAGE_CHROMIUM"], args=[f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"]
        )

    def reader(self, width=1440, height=1000, scheme="light"):
        """A fresh profile with one page. Nothing moves, so that colours can be measured."""
        settings = {"color_scheme": scheme, "reduced_motion": "reduce", "viewport": {"width": width, "height": height}}
        context = self._browser.new_context(**settings)
        context.set_default_timeout(PATIENCE)
        return context.new_page()

    def close(self):
        self._browser.close()
        self._playwright.stop()


# Every text that can be seen, with the colours of its letters and of what is behind them; `blend` puts one over the other.
COLOURS = """() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    const read = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
        return { rgb: [red, green, blue], alpha: alpha / 255 };
    };
    const blend = (over, under) => under.map((part, at) => over.rgb[at] * over.alpha + part * (1 - over.alpha));
    const behind = (node) => (node ? blend(read(getComputedStyle(node).backgroundColor), behind(node.parentElement)) : [255, 255, 255]);
    const light = (rgb) => {
        const [red, green, blue] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const seen = new Map();
    const measure = (node, text, colour) => {
        const ground = behind(node);
        const [one, other] = [light(blend(read(colour), ground)), light(ground)];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        seen.set(`${node.tagName}.${node.className} ${text.trim().slice(0, 30)}`, ratio);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const node = text.parentElement;
        if (text.data.trim() && node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length) {
            measure(node, text.data, getComputedStyle(node).color);
        }
    }
    for (const field of document.querySelectorAll("input[placeholder], input, select")) {
        if (!field.checkVisibility()) continue;
        measure(field, "value of " + field.id, getComputedStyle(field).color);
        if (field.placeholder) measure(field, field.placeholder, getComputedStyle(field, "::placeholder").color);
    }
    return { ratios: Object.fromEntries(seen), ground: light(behind(document.body)) };
}"""

# What the keyboard has to reach, in the document's order.
CONTROLS = """() => {
    const all = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")];
    window.controls = all.filter((control) => control.checkVisibility() && !control.disabled);
    return window.controls.map((control) => control.outerHTML.slice(0, 90));
}"""

# Where the keyboard is: the control's place among those, whether one sees that it is there, and that nothing covers it.
FOCUS = """() => {
    const focused = document.activeElement;
    if (!focused || focused === document.body) return null;
    const { outlineStyle, outlineWidth } = getComputedStyle(focused);
    const box = focused.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, innerHeight) / 2);
    return {
        control: window.controls.indexOf(focused),
        what: focused.outerHTML.slice(0, 90),
        marked: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
        covered: !(top && (focused.contains(top) || top.contains(focused))),
    };
}"""

# What sticks out of the window to the right.
TOO_WIDE = """() => [...document.body.querySelectorAll("*")]
    .filter((node) => node.checkVisibility() && !node.closest("svg, .skip, pre, .strip") && node.getBoundingClientRect().right > innerWidth + 0.5)
    .map((node) => node.outerHTML.slice(0, 90))"""


def accessible(page):
    """(role, name) of all that a screen reader is told of."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]


def attack(endpoint):
    """A page of somebody else, which does to the emulator what a page can do without being allowed to."""
    call = json.dumps("Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16")
    return f"""<!doctype html><title>busy</title>
        <iframe name="sink"></iframe><form action="{endpoint}/_landfall/clock" method="post" enctype="text/plain" target="sink">
        <input name='{{"advance_seconds": 3600, "frozen": null}}'></form><img src="{endpoint}/_landfall/overview?account=666666666666">
        <script type="module">
            const send = (path, body) => fetch("{endpoint}" + path, {{ method: "POST", mode: "no-cors", body }}).catch(() => {{}});
            await send("/_landfall/clock", '{{"advance_seconds": 3600}}');
            await send("/_landfall/faults", '{{"fault": "throttle"}}');
            await send("/", new URLSearchParams({call}));
            const loaded = new Promise((done) => document.querySelector("iframe").addEventListener("load", done));
            document.forms[0].submit();
            await loaded;
            document.title = "done";
        </script>""".encode()
