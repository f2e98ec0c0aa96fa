// The page: asks the emulator how things are, lets view.js and calls.js show it, and passes on what the controls are told.
// Nothing is ever put into the document as markup: names and tags are other people's text.
import { drawFaults, drawNetwork, drawPlaces, drawBalancers, History } from "./view.js";
import { Calls } from "./calls.js";

const at = (id) => document.getElementById(id);
const history = new History();
const open = { limit: 100 };
let place = placeOf(new URLSearchParams(location.search));
let calls;

/** JSON of an endpoint; an Error with the emulator's own words when it refuses. */
async function ask(method, path, body) {
  const response = await fetch("/_landfall/" + path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function placeOf(values) {
  const [account, region] = [values.get("account"), values.get("region")];
  return account && region ? { account, region } : null;
}

const query = (more = {}) => new URLSearchParams({ ...place, ...more }).toString();

/** The place that the address names, else the first one in which there is something. */
function choose(places) {
  if (!place) {
    const busiest = places.toSorted((one, other) => other.load_balancers - one.load_balancers).find((one) => !one.empty);
    const first = busiest ?? places[0] ?? { account: "000000000000", region: "us-east-1" };
    place = { account: first.account, region: first.region };
  }
  if (!places.some((one) => one.account === place.account && one.region === place.region)) places.push({ ...place, load_balancers: 0 });
  drawPlaces(at("place"), places, place);
}

async function look() {
  choose(await ask("GET", "places"));
  calls ??= new Calls(at("journal"), place);
  const [overview, clock, faults] = await Promise.all([
    ask("GET", "overview?" + query({ match: at("match").value, limit: open.limit })),
    ask("GET", "clock"),
    ask("GET", "faults"),
  ]);
  at("now").textContent = clock.now.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  at("now").dateTime = clock.now;
  at("ahead").textContent = clock.ahead_seconds ? `${span(clock.ahead_seconds)} ahead` : "real time";
  drawFaults(at("rules"), faults, (id) => act(() => ask("DELETE", "faults?id=" + id)));
  drawNetwork(at("vpcs"), overview.vpcs);
  await drawBalancers(
    { balancers: at("load-balancers"), groups: at("target-groups"), counted: at("counted") },
    overview,
    history,
    (group, limit) => ask("GET", "targets?" + query({ target_group: group, limit })),
    () => { open.limit += 100; soon(); },
  );
}

/** Hours, minutes and seconds. */
function span(seconds) {
  const parts = [[Math.floor(seconds / 3600), "h"], [Math.floor((seconds % 3600) / 60), "min"], [Math.round(seconds % 60), "s"]];
  return parts.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

let timer;
let looking = false;

/** Looks every second while somebody can see it, and soon after a write. */
async function refresh() {
  clearTimeout(timer);
  if (looking) return;
  looking = true;
  try {
    if (!document.hidden) await look();
    say("");
  } catch (error) {
    say(error instanceof TypeError ? "The emulator does not answer." : error.message);
  }
  looking = false;
  timer = setTimeout(refresh, 1000);
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 100);
}

function say(problem) {
  at("status").textContent = problem;
  at("status").classList.toggle("lost", problem !== "");
}

async function act(work) {
  try {
    await work();
    await refresh();
  } catch (error) {
    say(error.message);
  }
}

const advance = (seconds) => act(() => ask("POST", "clock", { advance_seconds: seconds }));
for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener("click", () => advance(Number(button.dataset.advance)));
}
at("clock").addEventListener("submit", (event) => {
  event.preventDefault();
  advance(at("seconds").valueAsNumber);
});

at("place").addEventListener("change", () => {
  const [account, region] = at("place").value.split(" ");
  place = { account, region };
  window.history.replaceState(null, "", "?" + query());
  calls.show(place);
  refresh();
});
at("match").addEventListener("input", soon);

const timed = () => ["delay", "hang"].includes(at("kind").value);
at("kind").addEventListener("change", () => { at("for").hidden = !timed(); });
at("fault").addEventListener("submit", (event) => {
  event.preventDefault();
  const kind = at("kind").value;
  const error = { code: "InternalError", status: 500, message: "A fault that was asked for" };
  const fault = timed() ? { [kind]: at("length").valueAsNumber } : kind.startsWith("error") ? { [kind]: error } : kind;
  const rule = { action: at("action").value, writes: at("writes").checked, fault };
  if (at("times").value) rule.times = at("times").valueAsNumber;
  act(() => ask("POST", "faults", rule));
});
at("clear").addEventListener("click", () => act(() => ask("DELETE", "faults")));

const filter = () => calls?.filter({ writes: at("only-writes").checked, text: at("only").value });
at("only-writes").addEventListener("change", filter);
at("only").addEventListener("input", filter);
document.addEventListener("call", (event) => { if (event.detail.write) soon(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
at("origin").textContent = location.origin;
refresh();
