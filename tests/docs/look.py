"""Opens the page of `hublake docs` in a headless browser and looks at it.

    python tests/docs/look.py PAGE [SCREENSHOT]

Fails where the browser complains, a link leads nowhere, anything is fetched from
elsewhere, the lineage has no boxes, or the search finds nothing.
"""

import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

SEARCH = """<script>
const box = document.getElementById("search");
box.value = "email";
box.dispatchEvent(new Event("input"));
</script></body>"""


class Page(HTMLParser):
    """What the browser made of the page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fetched, self.boxes, self.hidden = set(), [], [], 0, 0
        self.found, self.inside = "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        if "id" in attributes:
            self.ids.add(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        if tag in ("img", "script", "link", "iframe"):
            self.fetched += [attributes[name] for name in ("src", "href") if name in attributes]
        self.boxes += tag == "g" and "b" in classes
        self.hidden += tag == "section" and "hidden" in classes
        self.inside = attributes.get("id")

    def handle_data(self, data):
        if self.inside == "found":
            self.found += data

    def handle_endtag(self, tag):
        self.inside = None


def browser():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    sys.exit("no Chromium is installed")


def shown(page, *options):
    """The page as the browser has it once its scripts have run."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        command += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--window-size=1400,1600", *options]
        run = subprocess.run([*command, page.resolve().as_uri()], capture_output=True, text=True, timeout=120)
    complaints = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    if run.returncode != 0 or complaints:
        sys.exit(f"the browser complains ({run.returncode}): {complaints or run.stderr[-2000:]}")
    return run.stdout


def check(holds, what):
    if not holds:
        sys.exit(what)


def main():
    page = Path(sys.argv[1])
    seen = Page(shown(page, "--dump-dom"))
    broken = [link for link in seen.links if not link.startswith("#") or link[1:] not in seen.ids]
    check(not broken, f"links that lead nowhere: {broken}")
    check(not seen.fetched, f"fetched from elsewhere: {seen.fetched}")
    check(seen.boxes >= 5, f"the lineage has {seen.boxes} boxes")
    with tempfile.TemporaryDirectory() as folder:
        searched = Path(folder) / "index.html"
        searched.write_text(page.read_text().replace("</body>", SEARCH))
        after = Page(shown(searched, "--dump-dom"))
    check(after.hidden > 0 and after.found.strip().endswith("places"), f"the search: {after.found!r}, {after.hidden}")
    if len(sys.argv) > 2:
        shown(page, f"--screenshot={Path(sys.argv[2]).resolve()}")
        check(Path(sys.argv[2]).stat().st_size > 20_000, "the picture is empty")
    print(f"{len(seen.links)} links, {seen.boxes} boxes, search: {after.found.strip()}")


if __name__ == "__main__":
    main()
