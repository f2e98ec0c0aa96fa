"""The emulator's page, as its readers see and use it: in headless Chromium, with boto3 as the client whose calls it shows.

Run it by `page.sh`. Each test has an emulator of its own. Whatever a test is about, the page must not write an error to the console nor
ask anybody but the emulator.
"""

import http.server
import os
import pathlib
import re
import threading
import unittest

from botocore.exceptions import ClientError
from playwright.sync_api import expect

from page.browser import COLOURS, CONTROLS, FOCUS, FOREIGN, TOO_WIDE, Chromium, Emulator, accessible, attack
from referee import Referee
from session import Server, Session, eventually, refused

ACCOUNT = "100000000001"
EVIL = '<img src="x" onerror="window.ran = true">'
# All that AWS and the journal know.
STATES = "active provisioning failed active_impaired initial healthy unhealthy unhealthy.draining draining unused unavailable error dropped fault ok"


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.chromium, cls.referee = Chromium(), Referee()
        cls.addClassCleanup(cls.chromium.close)

    def setUp(self):
        self.emulator = Emulator()
        self.addCleanup(self.emulator.close)
        self.problems = []

    def seeded(self):
        session = Session(Server(self.emulator.endpoint, self.referee), ACCOUNT)
        self.addCleanup(session.close)
        return session

    def open(self, lost=False, **settings):
        """A reader's page. `lost`: the emulator goes away meanwhile, which the browser itself notes in the console."""
        page = self.chromium.reader(**settings)
        page.clock.install()
        self.addCleanup(self.assertEqual, self.problems, [])
        self.addCleanup(page.context.close)

        def on_console(message):
            if message.type == "error" and not (lost and "net::ERR_" in message.text):
                self.problems.append(message.text)

        def on_request(request):
            if not request.url.startswith((self.emulator.endpoint + "/", "data:")):
                self.problems.append(f"asked {request.url}")

        page.on("console", on_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", on_request)
        page.goto(self.emulator.endpoint + "/_landfall/")
        expect(page.locator("#now")).to_contain_text("UTC")
        return page

    def picture(self, page, name, **settings):
        page.screenshot(path=pathlib.Path(os.environ["PAGE_PICTURES"], f"{name}.png"), **settings)

    # What there is.

    def test_it_shows_the_network_and_what_hangs_on_a_load_balancer(self):
        s = self.seeded()
        group, up, stop, down = in_use(s)
        page = self.open()
        network = page.get_by_role("region", name="Network")
        expect(network).to_contain_text("conformance")
        expect(network.get_by_role("row", name="nodes-us-west-2a us-west-2a 127.20.1.0/24")).to_be_visible()
        balancers = page.get_by_role("region", name="Load balancers")
        for text in ("web", "active", "internal", "TCP 80 → web-tcp", "1 healthy, 1 unhealthy", s.describe_nlb({"LoadBalancerArn": arn(s)})["DNSName"]):
            expect(balancers).to_contain_text(text)
        expect(target(page, up).locator(".state")).to_have_text("healthy")
        expect(target(page, down)).to_contain_text("Health checks failed")
        strip = target(page, up).get_by_role("img")
        expect(strip).to_have_accessible_name(re.compile(r"^healthy \d+ s"))

        stop()
        expect(target(page, up).locator(".state")).to_have_text("unhealthy")
        expect(strip).to_have_accessible_name(re.compile(r"^healthy \d+ s, then .*unhealthy \d+ s$"))
        expect(strip.locator("i").last).to_have_attribute("data-state", "unhealthy")
        with s.durations(deregistration=300):
            s.deregister(group, up)
            expect(target(page, up).locator(".state")).to_have_text("draining")
        page.get_by_role("button", name="+5 min").click()
        expect(target(page, up)).to_have_count(0)

    def test_an_empty_emulator_says_what_to_do(self):
        page = self.open()
        expect(page.get_by_role("region", name="Network")).to_contain_text("--seed world.yaml")
        expect(page.get_by_role("region", name="Load balancers")).to_contain_text("create-load-balancer")
        expect(page.get_by_role("region", name="Calls")).to_contain_text(f"export AWS_ENDPOINT_URL={self.emulator.endpoint}")
        expect(page.get_by_role("region", name="Faults")).to_contain_text("every call is answered as AWS answers it")
        self.picture(page, "empty")
        # What somebody makes elsewhere is shown, as long as the reader has not said where to look.
        self.seeded()
        expect(page.get_by_label("Account and region")).to_have_value(f"{ACCOUNT} us-west-2")
        expect(page.get_by_role("region", name="Network")).to_contain_text("conformance")

    def test_names_are_text(self):
        s = self.seeded()
        # ELBv2 takes no such tags; EC2 does.
        s.ec2.create_tags(Resources=[s.vpc, s.subnet_ids("nodes")[0]], Tags=[{"Key": "Name", "Value": EVIL}])
        s.server.admin("POST", "/_landfall/faults", {"action": EVIL, "fault": "throttle"})
        page = self.open()
        s.raw("elasticloadbalancing", Action=EVIL, Name=EVIL)
        for region, count in (("Network", 2), ("Faults", 1), ("Calls", 2)):
            texts = page.get_by_role("region", name=region).get_by_text(EVIL)
            expect(texts.first).to_be_visible()
            self.assertGreaterEqual(texts.count(), count, region)
        page.locator("#journal summary").first.click()
        expect(page.locator("#journal dd").filter(has_text=EVIL).first).to_be_visible()
        self.assertEqual(page.evaluate("[document.images.length, window.ran]"), [0, None])

    def test_many_things_neither_freeze_it_nor_are_drawn_again(self):
        s = self.seeded()
        for number in range(200):
            s.group(Name=f"many-{number:03}")
        page = self.open()
        rows = page.locator("#target-groups > details")
        expect(rows).to_have_count(200)
        page.evaluate("""() => {
            window.changes = 0;
            new MutationObserver((all) => { window.changes += all.length; })
                .observe(document.getElementById("target-groups"), { childList: true, subtree: true, attributes: true, characterData: true });
        }""")
        for _ in range(3):
            page.wait_for_event("response", lambda response: "/overview" in response.url)
        self.assertEqual(page.evaluate("window.changes"), 0)
        s.register(s.describe_group({"TargetGroupArn": s.elbv2.describe_target_groups(Names=["many-123"])["TargetGroups"][0]["TargetGroupArn"]}), ("127.20.1.10", 80))
        expect(rows.filter(has_text="many-123")).to_contain_text("1 unused")
        page.get_by_label("whose name contains").fill("many-19")
        expect(rows).to_have_count(10)
        page.get_by_label("whose name contains").fill("nothing is called so")
        expect(page.get_by_text("No name contains that.")).to_be_visible()

    # What happens.

    def test_calls_appear_as_they_are_made(self):
        s = self.seeded()
        page = self.open()
        page.evaluate("window.before = true")
        calls = page.get_by_role("list", name="Calls").locator("> li")
        s.group(Name="fresh")
        expect(calls.first).to_contain_text("CreateTargetGroup")
        expect(calls.first).to_contain_text("fresh")
        refused("LoadBalancerNotFound", s.elbv2.describe_load_balancers, Names=["missing"])
        expect(calls.first).to_contain_text("LoadBalancerNotFound")
        calls.first.locator("summary").click()
        expect(calls.first).to_contain_text("landfall-conformance")
        page.get_by_role("region", name="Calls").get_by_label("writes only").check()
        expect(calls.first).to_be_hidden()
        page.get_by_label("Only actions that contain").fill("targetgroup")
        expect(calls.filter(visible=True)).to_have_count(1)
        self.assertTrue(page.evaluate("window.before"), "the page was loaded again")

    def test_the_clock_is_moved_and_stopped(self):
        s = self.seeded()
        with s.durations(provisioning=200):
            balancer = s.nlb(Name="slow")
            page = self.open()
            state = page.locator("#load-balancers .state").first
            expect(state).to_have_text("provisioning")
            page.get_by_label("Seconds to advance").fill("100")
            page.get_by_role("button", name="Advance").click()
            expect(page.locator("#ahead")).to_have_text("1 min 40 s ahead")
            self.assertEqual(s.describe_nlb(balancer)["State"]["Code"], "provisioning")
            page.get_by_role("button", name="+5 min").click()
            expect(state).to_have_text("active")
            self.assertEqual(s.describe_nlb(balancer)["State"]["Code"], "active")
        freeze = page.get_by_role("button", name="Freeze")
        freeze.click()
        expect(freeze).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#ahead")).to_contain_text("frozen")
        self.assertTrue(s.server.admin("GET", "/_landfall/clock")["frozen"])
        freeze.click()
        expect(freeze).to_have_attribute("aria-pressed", "false")
        self.assertFalse(s.server.admin("GET", "/_landfall/clock")["frozen"])

    def test_what_the_emulator_refuses_is_said_until_the_next_try(self):
        page = self.open()
        page.get_by_label("Seconds to advance").fill("1e300")
        page.get_by_role("button", name="Advance").click()
        # The browser notes every answer of 400 in the console.
        expect(page.get_by_role("alert")).to_contain_text("advance_seconds")
        page.wait_for_event("response", lambda response: "/overview" in response.url)
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_role("button", name="+10 s").click()
        expect(page.get_by_role("alert")).to_be_hidden()
        self.assertTrue(self.problems and all("400" in problem for problem in self.problems), self.problems)
        self.problems.clear()

    def test_faults_are_set_and_ended(self):
        s = self.seeded()
        page = self.open()
        faults = page.get_by_role("region", name="Faults")
        faults.get_by_label("Action").fill("DescribeLoad*")
        faults.get_by_role("combobox", name="Fault", exact=True).select_option("throttle")
        faults.get_by_role("button", name="Add fault").click()
        rule = faults.get_by_role("listitem")
        expect(rule).to_contain_text("DescribeLoad* throttle")
        refused("Throttling", s.elbv2.describe_load_balancers)
        s.elbv2.describe_target_groups()
        expect(rule).to_contain_text("has hit 1 of 1 calls")
        expect(page.get_by_role("list", name="Calls").locator("> li").filter(has_text="DescribeLoadBalancers").first).to_contain_text("Throttling")
        rule.get_by_role("button", name="Remove").click()
        expect(rule).to_have_count(0)
        s.elbv2.describe_load_balancers()

        faults.get_by_label("Action").fill("*")
        faults.get_by_role("combobox", name="Fault", exact=True).select_option("delay")
        faults.get_by_label("Seconds").fill("0.01")
        faults.get_by_label("Times").fill("1")
        faults.get_by_label("writes only").check()
        faults.get_by_role("button", name="Add fault").click()
        expect(rule).to_contain_text("* delay 0.01 s")
        expect(rule).to_contain_text("writes only · at most 1 ×")
        faults.get_by_role("combobox", name="Fault", exact=True).select_option("error_after")
        faults.get_by_role("button", name="Add fault").click()
        expect(rule).to_have_count(2)
        with self.assertRaises(ClientError) as raised:
            s.group(Name="made-all-the-same")
        self.assertEqual(raised.exception.response["Error"]["Code"], "InternalError")
        s.elbv2.describe_target_groups(Names=["made-all-the-same"])
        faults.get_by_role("button", name="Remove all").click()
        expect(rule).to_have_count(0)
        self.assertEqual(s.server.admin("GET", "/_landfall/faults"), [])

    def test_it_finds_an_emulator_that_was_started_again(self):
        s = self.seeded()
        in_use(s)
        page = self.open(lost=True)
        expect(page.locator("#load-balancers .name").first).to_have_text("web")
        for _ in range(3):
            s.elbv2.describe_account_limits()
        self.emulator.stop()
        expect(page.get_by_role("status")).to_contain_text("does not answer")
        page.get_by_role("button", name="+1 min").click()
        expect(page.get_by_role("alert")).to_contain_text("Not done")
        self.emulator.start()
        expect(page.get_by_role("status")).to_be_hidden()
        # Fewer calls than the one before has seen, so numbers that the page knows come again.
        s.elbv2.describe_target_groups()
        calls = page.get_by_role("list", name="Calls").locator("> li")
        expect(calls.first).to_contain_text("DescribeTargetGroups")
        expect(calls.filter(has_text="DescribeAccountLimits")).to_have_count(0)
        expect(page.locator("#load-balancers .name").first).to_have_text("web")

    # For everybody.

    def test_the_keyboard_is_enough(self):
        s = self.seeded()
        in_use(s)
        s.server.admin("POST", "/_landfall/faults", {"action": "Never", "fault": "throttle"})
        s.server.admin("POST", "/_landfall/faults", {"action": "NeverEither", "fault": "throttle"})
        page = self.open()
        expect(page.locator(".targets tr").first).to_be_visible()
        expect(page.locator("#rules li")).to_have_count(2)
        controls = page.evaluate(CONTROLS)
        reached = []
        while True:
            page.keyboard.press("Tab")
            focus = page.evaluate(FOCUS)
            if focus is None or focus["control"] in reached:
                break
            self.assertTrue(focus["marked"], f"no mark of the focus on {focus['what']}")
            self.assertFalse(focus["covered"], f"something covers {focus['what']}")
            reached.append(focus["control"])
        self.assertEqual([controls[at] for at in reached if at >= 0], controls)

        def use(control, *keys):
            control.focus()
            for key in keys:
                page.keyboard.press(key)

        use(page.get_by_role("button", name="+1 min"), "Enter")
        expect(page.locator("#ahead")).to_have_text("1 min ahead")
        use(page.get_by_label("Seconds to advance"), *"60", "Enter")
        expect(page.locator("#ahead")).to_have_text("2 min ahead")
        use(page.get_by_role("button", name="Freeze"), "Space")
        expect(page.locator("#ahead")).to_contain_text("frozen")
        balancer = page.locator("#load-balancers > details").first
        use(balancer.locator("> summary"), "Enter")
        expect(balancer.locator(".facts")).to_be_hidden()
        use(balancer.locator("> summary"), "Space")
        expect(balancer.locator(".facts")).to_be_visible()
        faults = page.get_by_role("region", name="Faults")
        use(faults.get_by_label("Action"), "Control+a", *"Create")
        use(faults.get_by_label("writes only"), "Space")
        use(faults.get_by_role("combobox", name="Fault", exact=True), "ArrowDown")
        use(faults.get_by_label("Times"), "3", "Enter")
        expect(faults.get_by_role("listitem").last).to_contain_text("Create denied")
        expect(faults.get_by_role("listitem").last).to_contain_text("writes only · at most 3 ×")
        # What is removed takes the focus with it: it goes on to the next, and in the end to where a new one is made.
        for left in (2, 1, 0):
            if left == 2:
                faults.get_by_role("button", name="Remove fault").first.focus()
            page.keyboard.press("Enter")
            expect(faults.get_by_role("listitem")).to_have_count(left)
            wanted = faults.get_by_role("button", name="Remove fault").first if left else faults.get_by_label("Action")
            expect(wanted).to_be_focused()

    def test_everything_has_a_name(self):
        s = self.seeded()
        in_use(s)
        s.server.admin("POST", "/_landfall/faults", {"action": "Never", "fault": "throttle"})
        page = self.open()
        expect(page.locator(".targets tr").first).to_be_visible()
        expect(page.locator("#rules li")).to_have_count(1)
        told = accessible(page)
        nameless = [role for role, name in told if not name.strip() and role in NAMED]
        self.assertEqual(nameless, [])
        for what in (
            ("main", None), ("banner", None), ("form", "Clock"), ("form", "Faults"), ("heading", "landfall-localstack"),
            *(("region", name) for name in ("Load balancers", "Network", "Calls", "Faults")),
        ):  # fmt: skip
            self.assertTrue(any(role == what[0] and what[1] in (None, name) for role, name in told), f"no {what}")
        self.assertEqual(page.evaluate("[document.documentElement.lang, document.title]"), ["en", "landfall-localstack"])

    def test_text_can_be_read_in_light_and_dark(self):
        s = self.seeded()
        scene(s)
        grounds = {}
        for scheme in ("light", "dark"):
            page = self.open(scheme=scheme)
            self.look_at_scene(s, page)
            self.picture(page, scheme)
            page.evaluate(
                """(states) => document.querySelector("main section").append(...states.split(" ").map((state) => {
                    const made = Object.assign(document.createElement("span"), { className: "state", textContent: "state " + state });
                    made.dataset.state = state;
                    return made;
                }))""",
                STATES,
            )
            for banner in ("status", "problem"):
                page.evaluate("(id) => { const it = document.getElementById(id).cloneNode(); it.hidden = false; it.append('a banner'); document.body.prepend(it); }", banner)
            measured = page.evaluate(COLOURS)
            grounds[scheme] = measured["ground"]
            self.assertGreater(len(measured["ratios"]), 80)
            faint = {text: round(ratio, 2) for text, ratio in measured["ratios"].items() if ratio < 4.5}
            self.assertEqual(faint, {}, scheme)
        self.assertTrue(grounds["light"] > 0.8 and grounds["dark"] < 0.05, grounds)

    def test_it_fits_a_telephone(self):
        s = self.seeded()
        scene(s)
        page = self.open(width=390, height=844)
        self.look_at_scene(s, page)
        self.picture(page, "narrow", full_page=True)
        self.assertEqual(page.evaluate("document.scrollingElement.scrollWidth"), 390)
        self.assertEqual(page.evaluate(TOO_WIDE), [])

    def look_at_scene(self, s, page):
        """For a minute, in which a target fails, comes back, and fails."""
        group = s.elbv2.describe_target_groups(Names=["storefront-http"])["TargetGroups"][0]
        expect(page.locator("#load-balancers > details")).to_have_count(2)
        expect(page.locator("#journal .state[data-state='fault']").first).to_be_attached()
        for state, seconds in (("healthy", 24), ("unhealthy", 9), ("healthy", 18), ("unhealthy", 9)):
            pin(s, group, ("127.20.3.10", 8080), state)
            watch(page, seconds)
        # On a busy machine there may be gaps.
        told = re.compile(r"\bhealthy \d+ s, .*unhealthy \d+ s, .*\bhealthy \d+ s, .*unhealthy \d+ s$")
        expect(target(page, ("127.20.3.10", 8080)).get_by_role("img")).to_have_accessible_name(told)
        expect(page.locator("#load-balancers")).to_contain_text("3 healthy, 1 initial, 1 unhealthy")
        page.locator("#journal summary").first.click()

    # Against pages of others.

    def test_a_foreign_page_can_do_nothing_here(self):
        endpoint = self.emulator.endpoint

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(attack(endpoint))

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            self.addCleanup(server.shutdown)
            admin = Server(endpoint, self.referee).admin
            # Another port of this machine, and another site.
            for host in ("127.0.0.1", FOREIGN):
                page = self.chromium.reader()
                self.addCleanup(page.context.close)
                page.goto(f"http://{host}:{server.server_address[1]}/")
                expect(page).to_have_title("done")
                self.assertEqual(admin("GET", "/_landfall/clock")["ahead_seconds"], 0, host)
                self.assertEqual(admin("GET", "/_landfall/faults"), [], host)
                self.assertEqual(admin("GET", "/_landfall/journal"), [], host)
                self.assertEqual(admin("GET", "/_landfall/places"), [], host)
            server.shutdown()

    def test_a_foreign_name_that_leads_here_shows_nothing(self):
        page = self.chromium.reader()
        self.addCleanup(page.context.close)
        for path in ("/_landfall/", "/_landfall/snapshot", "/?Action=DescribeVpcs&Version=2016-11-15"):
            self.assertEqual(page.goto(f"http://{FOREIGN}:{self.emulator.port}{path}").status, 403, path)
        self.assertEqual(page.goto(f"http://localhost:{self.emulator.port}/_landfall/").status, 200)
        expect(page.locator("#now")).to_contain_text("UTC")


# What a screen reader reads out by its name.
NAMED = {
    "button", "checkbox", "combobox", "ComboBoxSelect", "DisclosureTriangle", "DisclosureTriangleGrouped", "form", "heading", "image", "link",
    "region", "searchbox", "spinbutton", "textbox", "TextField", "columnheader",
}  # fmt: skip


def arn(s):
    return s.elbv2.describe_load_balancers(Names=["web"])["LoadBalancers"][0]["LoadBalancerArn"]


def target(page, key):
    return page.get_by_role("row").filter(has_text=f"{key[0]}:{key[1]}")


def in_use(s):
    """A load balancer `web` with a group of two targets, found out to be healthy and not."""
    balancer, group = s.nlb(Name="web", Subnets=s.subnet_ids("internal", 3)), s.group(Name="web-tcp")
    s.listener(balancer, group)
    up, stop = s.serve("127.20.1.50")
    down, stop_down = s.serve("127.20.2.50")
    stop_down()
    s.register(group, up, down)
    eventually(lambda: [s.health(group)[one][0] for one in (up, down)] == ["healthy", "unhealthy"], lambda: s.health(group))
    return group, up, stop, down


def pin(s, group, key, health):
    """Sets a target's health by hand."""
    chosen = {"target_group": group["TargetGroupArn"], "id": key[0], "port": key[1], "health": health}
    s.server.admin("POST", "/_landfall/target-health", chosen, account=s.account, region=s.region)


def watch(page, seconds):
    """Lets so long pass for the page, with a look at least every two seconds."""
    for _ in range(0, seconds, 2):
        with page.expect_response(lambda response: "/overview" in response.url):
            page.clock.run_for(2000)


def scene(s):
    """What an afternoon with a controller may leave: something of every kind."""
    tags = [{"Key": "elbv2.k8s.aws/cluster", "Value": "demo"}, {"Key": "team", "Value": "storefront"}]
    balancer = s.nlb(Name="storefront", Scheme="internet-facing", Subnets=s.subnet_ids("public", 3), Tags=tags)
    http, https = (s.group(Name=f"storefront-{kind}", Port=port, HealthCheckProtocol="HTTP", HealthCheckPath="/healthz") for kind, port in (("http", 8080), ("https", 8443)))
    s.listener(balancer, http)
    s.listener(balancer, https, Protocol="TLS", Port=443, Certificates=[{"CertificateArn": s.certificate()}])
    health = [
        (http, [("127.20.1.10", "healthy"), ("127.20.2.10", "healthy"), ("127.20.3.10", "unhealthy")]),
        (https, [("127.20.1.10", "healthy"), ("127.20.2.10", "initial")]),
    ]
    for group, targets in health:
        s.register(group, *((address, group["Port"]) for address, _ in targets))
        for address, state in targets:
            pin(s, group, (address, group["Port"]), state)
    s.group(Name="blue-green-next")
    s.server.admin("PUT", "/_landfall/durations", {"provisioning": 3600})
    s.nlb(Name="metrics-ingest")
    s.server.admin("POST", "/_landfall/faults", {"action": "Describe*", "times": 1, "fault": "throttle"})
    s.server.admin("POST", "/_landfall/faults", {"action": "CreateListener", "writes": True, "nth": 2, "fault": {"delay": 1.5}})
    refused("Throttling", s.elbv2.describe_load_balancers)
    s.elbv2.describe_target_health(TargetGroupArn=http["TargetGroupArn"])
    refused("TargetGroupNotFound", s.elbv2.describe_target_groups, Names=["gone"])
    s.advance(300)


if __name__ == "__main__":
    unittest.main(verbosity=2)
