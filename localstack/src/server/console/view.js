// What there is, as elements. Rows are kept from one look to the next, so that focus, open details and scrolling stay where they are.

/** An element with these properties and children; strings become text, never markup. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A state as a coloured word. */
export function state(kind, text = kind) {
  const made = element("span", { className: "state" }, text);
  made.dataset.state = kind;
  return made;
}

/** Names with their values, which are nodes or text. */
export function facts(pairs) {
  return element("dl", { className: "facts" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

/** Makes the children of `parent` be those of `items`, in order; what has the same key stays. */
function sync(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    let child = old.get(String(key(item)));
    if (child) old.delete(child.dataset.key);
    else {
      child = make(item);
      child.dataset.key = key(item);
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const child of old.values()) child.remove();
}

/** Replaces the children only if what they say has changed. */
function put(parent, said, children) {
  const text = JSON.stringify(said);
  if (parent.said === text) return;
  parent.said = text;
  parent.replaceChildren(...children());
}

const note = (list, kind, isShown) => { list.parentElement.querySelector("." + kind).hidden = !isShown; };
const code = (text) => element("span", { className: "code" }, text);
const dim = (text) => element("span", { className: "dim" }, text);

export function drawPlaces(select, places, chosen) {
  put(select, places.map((place) => [place.account, place.region]), () =>
    places.map((place) => element("option", { value: `${place.account} ${place.region}` }, `${place.account} · ${place.region}`)));
  select.value = `${chosen.account} ${chosen.region}`;
}

export function drawFaults(list, faults, remove) {
  note(list, "empty", faults.length === 0);
  const make = ({ id }) => {
    const button = element("button", { type: "button", ariaLabel: `Remove fault ${id}` }, "Remove");
    button.addEventListener("click", () => remove(id));
    return element("li", {}, element("div"), button);
  };
  sync(list, faults, (fault) => fault.id, make, (row, { rule, matched, fired }) => {
    put(row.firstElementChild, [rule, matched, fired], () => [
      element("div", {}, element("span", { className: "name" }, rule.action ?? "*"), " ", state("fault", fault(rule.fault))),
      dim([...conditions(rule), `has hit ${fired} of ${matched} calls`].join(" · ")),
    ]);
  });
}

const UNITS = { delay: " s", hang: " s", stale_read: " s" };

/** `throttle`; `delay 2 s`; `error InternalError 500`. */
function fault(what) {
  if (typeof what === "string") return what.replaceAll("_", " ");
  const [[kind, value]] = Object.entries(what);
  const more = value.code ? `${value.code} ${value.status}` : typeof value === "object" ? JSON.stringify(value) : value + (UNITS[kind] ?? "");
  return `${kind.replaceAll("_", " ")} ${more}`;
}

const CONDITIONS = {
  writes: () => "writes only",
  nth: (number) => `only call ${number}`,
  every: (number) => `each call in ${number}`,
  from: (number) => `from call ${number} on`,
  times: (number) => `at most ${number} ×`,
  probability: (share) => `${100 * share} % of them`,
  parameter: ([name, value]) => `${name} = ${value}`,
};

/** What else has to be so for a rule to be meant. */
function conditions({ action, fault, ...others }) {
  return Object.entries(others).map(([name, value]) => CONDITIONS[name]?.(value) ?? `${name.replaceAll("_", " ")} ${value}`);
}

export function drawNetwork(list, vpcs) {
  note(list, "empty", vpcs.length === 0);
  const make = () => element("details", { className: "row", open: vpcs.length <= 3 }, element("summary"), element("div", { className: "inner scroll" }));
  sync(list, vpcs, (vpc) => vpc.id, make, (row, vpc) => {
    const [summary, inner] = row.children;
    put(summary, [vpc.name, vpc.cidrs], () => [
      element("span", { className: "name" }, vpc.name ?? vpc.id),
      element("span", { className: "code dim" }, [vpc.name ? vpc.id : "", ...vpc.cidrs].filter(Boolean).join("  ")),
    ]);
    put(inner, vpc.subnets, () => [vpc.subnets.length === 0 ? dim("No subnets.") : table(["Subnet", "Zone", "CIDR", "Free addresses"], vpc.subnets.map((subnet) => [
      element("span", { title: subnet.id }, subnet.name ?? subnet.id), subnet.zone, code(subnet.cidr), subnet.free_addresses.toLocaleString("en"),
    ]))]);
  });
}

function table(heads, rows) {
  const numeric = (at) => (heads[at] === "Free addresses" ? "number" : "");
  return element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head, at) => element("th", { scope: "col", className: numeric(at) }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell, at) => element("td", { className: numeric(at) }, cell))))));
}

/** What targets were, at each look at their group, over the last two minutes. */
export class History {
  #samples = new Map();

  static SECONDS = 120;

  /** Without a look for so long, nobody knows. */
  static GAP = 5;

  /** Adds what a target is now; the runs of the same state, oldest first, with their seconds. An empty state: not looked at. */
  note(key, state, now = performance.now() / 1000) {
    const sample = this.#samples.get(key) ?? { runs: [], seen: now };
    this.#samples.set(key, sample);
    const { runs } = sample;
    if (now - sample.seen > History.GAP) runs.push({ state: "", from: sample.seen });
    sample.seen = now;
    if (runs.at(-1)?.state !== state) runs.push({ state, from: now });
    const start = now - History.SECONDS;
    while (runs.length > 1 && runs[1].from <= start) runs.shift();
    return runs.map((run, at) => ({ state: run.state, size: (runs[at + 1]?.from ?? now) - Math.max(run.from, start) }));
  }

  /** Forgets whatever has not been seen within that time. */
  tidy(now = performance.now() / 1000) {
    for (const [key, { seen }] of this.#samples) if (seen < now - History.SECONDS) this.#samples.delete(key);
  }
}

/** A bar of runs, up to its right end; `whole` is what fills it. */
function strip(runs, whole, label) {
  const made = element("div", { className: "strip", role: "img", ariaLabel: label, title: label });
  for (const { state, size } of runs) {
    const part = element("i");
    part.dataset.state = state;
    part.style.width = `${(100 * size) / whole}%`;
    made.append(part);
  }
  return made;
}

/** Load balancers with their target groups, and the groups that have none. `targets` fetches those of a group that is open. */
export async function drawBalancers(places, overview, match, history, targets, more) {
  const { load_balancers: balancers, listeners, target_groups: groups } = overview;
  put(places.counted, [balancers.shown.length, balancers.total], () => [
    balancers.total === 0 ? "" : balancers.shown.length < balancers.total ? `${balancers.shown.length} of ${balancers.total}` : String(balancers.total),
  ]);
  const isNone = balancers.total === 0;
  note(places.balancers, "empty", isNone && match === "");
  note(places.balancers, "none", isNone && match !== "");
  const few = groups.shown.length <= 12;
  const asked = [];
  const drawGroups = (parent, those) => sync(parent, those, (group) => group.arn, (group) => makeGroup(few && total(group) <= 20), (row, group) => {
    updateGroup(row, group);
    if (row.open) asked.push([row, group]);
  });
  const shown = balancers.shown.map((balancer) => ({ ...balancer, key: balancer.arn }));
  if (balancers.total > shown.length) shown.push({ key: "more" });
  const byBalancer = Map.groupBy(groups.shown, (group) => group.load_balancer);
  const names = new Map(groups.shown.map((group) => [group.arn, group.name]));
  sync(places.balancers, shown, (balancer) => balancer.key, (balancer) => (balancer.arn ? makeBalancer(shown.length <= 12) : makeMore(more)), (row, balancer) => {
    if (!balancer.arn) return;
    const own = byBalancer.get(balancer.arn) ?? [];
    updateBalancer(row, balancer, listeners.filter((listener) => listener.load_balancer === balancer.arn), own, names);
    drawGroups(row.querySelector(".groups"), row.open ? own : []);
  });
  const loose = byBalancer.get(null) ?? [];
  places.groups.parentElement.hidden = loose.length === 0;
  drawGroups(places.groups, loose);
  await Promise.all(asked.map(async ([row, group]) => updateTargets(row, group, await targets(group.arn, row.limit), history)));
  history.tidy();
}

function makeMore(more) {
  const button = element("button", { type: "button" }, "Show more");
  button.addEventListener("click", more);
  return element("p", { className: "empty" }, button);
}

function makeBalancer(open) {
  const inner = element("div", { className: "inner" }, element("div"), element("div", { className: "groups" }));
  return element("details", { className: "row", open }, element("summary"), inner);
}

function updateBalancer(row, balancer, listeners, groups, names) {
  const [summary, inner] = row.children;
  const states = {};
  for (const group of groups) for (const [kind, number] of Object.entries(group.states)) states[kind] = (states[kind] ?? 0) + number;
  put(summary, [balancer.state, balancer.scheme, states], () => [
    element("span", { className: "name" }, balancer.name), state(balancer.state), dim(balancer.scheme), health(states),
  ]);
  const list = (items) => element("ul", { className: "plain" }, ...items.map((item) => element("li", {}, ...item)));
  const { zones, tags, dns_name: name, arn } = balancer;
  put(inner.firstElementChild, [name, zones, tags, listeners.map((listener) => [listener.arn, names.get(listener.target_group)])], () => [facts([
    ["Listeners", listeners.length === 0 ? dim("none: it answers nobody") : list(listeners.map((listener) =>
      [element("strong", {}, `${listener.protocol} ${listener.port}`), ` → ${names.get(listener.target_group) ?? listener.target_group ?? ""}`]))],
    ["Zones", list(zones.map((zone) => [`${zone.zone} `, code(zone.address ?? "")]))],
    ["DNS name", code(name)],
    ...(Object.keys(tags).length === 0 ? [] : [["Tags", list(Object.entries(tags).map(([key, value]) => [dim(`${key} = `), value]))]]),
    ["ARN", code(arn)],
  ])]);
}

const total = (group) => Object.values(group.states).reduce((sum, number) => sum + number, 0);

/** How many targets are what, in words and as a bar. */
function health(states) {
  const counts = Object.entries(states).sort();
  const said = counts.map(([kind, number]) => `${number} ${kind}`).join(", ") || "no targets";
  const runs = counts.map(([kind, number]) => ({ state: kind, size: number }));
  const whole = runs.reduce((sum, run) => sum + run.size, 0);
  return element("span", { className: "health" }, said, strip(runs, Math.max(whole, 1), said));
}

function makeGroup(open) {
  const row = element("details", { className: "group", open }, element("summary"), element("div", { className: "inner scroll" }));
  row.limit = 100;
  return row;
}

function updateGroup(row, group) {
  put(row.firstElementChild, [group.states, group.check, group.port], () => [
    element("span", { className: "name", title: group.arn }, group.name),
    dim(`${group.protocol} ${group.port} · ${group.target_type} · checked by ${group.check.replace(" :traffic-port", "")}`),
    health(group.states),
  ]);
}

function updateTargets(row, group, targets, history) {
  const inner = row.lastElementChild;
  if (targets.total === 0) return put(inner, [], () => [dim("No targets are registered.")]);
  let body = inner.querySelector("tbody");
  if (!body) {
    const made = table(["Target", "Zone", "State", "Last two minutes"], []);
    made.className = "targets";
    const button = element("button", { type: "button" }, "Show more targets");
    button.addEventListener("click", () => { row.limit += 500; });
    inner.said = undefined;
    inner.replaceChildren(made, element("p", { className: "more" }, button));
    body = made.querySelector("tbody");
  }
  inner.querySelector(".more").hidden = targets.shown.length >= targets.total;
  const key = (target) => `${target.id}:${target.port}`;
  sync(body, targets.shown, key, () => element("tr", {}, ...["", "dim", "", "strips"].map((className) => element("td", { className }))), (line, target) => {
    const [name, zone, health, strips] = line.children;
    put(name, [target.address], () => [code(key(target)), target.address === target.id ? "" : element("span", { className: "code dim" }, ` ${target.address}`)]);
    put(zone, [target.zone], () => [target.zone ?? "all zones"]);
    put(health, [target.state, target.reason, target.description], () => [
      state(target.state), " ", element("span", { className: "dim", title: target.reason }, target.description),
    ]);
    const runs = history.note(`${group.arn} ${key(target)}`, target.state);
    const told = runs.map((run) => `${run.state || "not looked at"} ${Math.round(run.size)} s`).join(", then ");
    put(strips, told, () => [strip(runs, History.SECONDS, told)]);
  });
}
