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

/** Makes the children of `parent` be those of `items`, in order; what has the same key stays. */
function sync(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    let child = old.get(key(item));
    if (child) old.delete(key(item));
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

const empty = (list, isEmpty) => { list.parentElement.querySelector(".empty").hidden = !isEmpty; };
const chip = (...text) => element("li", { className: "chip" }, ...text);

export function drawPlaces(select, places, chosen) {
  put(select, places.map((place) => [place.account, place.region, place.load_balancers]), () =>
    places.map((place) => element("option", { value: `${place.account} ${place.region}` }, `${place.account} ${place.region}`)));
  select.value = `${chosen.account} ${chosen.region}`;
}

export function drawFaults(list, faults, remove) {
  put(list, faults, () => faults.map(({ id, rule }) => {
    const said = Object.entries(rule).filter(([, value]) => value !== null && value !== false && value !== undefined && value !== "");
    const text = said.map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
    const button = element("button", { type: "button", ariaLabel: `Remove fault ${id}` }, "Remove");
    button.addEventListener("click", () => remove(id));
    return element("li", {}, element("span", { className: "code" }, text), button);
  }));
}

export function drawNetwork(list, vpcs) {
  empty(list, vpcs.length === 0);
  const make = (vpc) => element("details", { className: "vpc", open: true }, element("summary"), element("div", { className: "inner scroll" }));
  sync(list, vpcs, (vpc) => vpc.id, make, (row, vpc) => {
    const [summary, inner] = row.children;
    put(summary, [vpc.name, vpc.cidrs], () => [
      element("span", { className: "name" }, vpc.name ?? vpc.id),
      element("span", { className: "code dim" }, [vpc.name ? vpc.id : "", ...vpc.cidrs].filter(Boolean).join("  ")),
    ]);
    put(inner, vpc.subnets, () => [table(["Subnet", "Zone", "CIDR", "Free addresses"], vpc.subnets.map((subnet) => [
      element("span", { title: subnet.id }, subnet.name ?? subnet.id), subnet.zone, code(subnet.cidr), String(subnet.free_addresses),
    ]))]);
  });
}

const code = (text) => element("span", { className: "code" }, text);

function table(heads, rows) {
  const numeric = (at) => (heads[at] === "Free addresses" ? "number" : "");
  return element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head, at) => element("th", { scope: "col", className: numeric(at) }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell, at) => element("td", { className: numeric(at) }, cell))))));
}

/** What targets were, at each look at their group; the longest strip is two minutes. */
export class History {
  #samples = new Map();

  static LENGTH = 120;

  /** Adds what a target is now; runs of the same state, oldest first. */
  note(key, now) {
    const runs = this.#samples.get(key) ?? [];
    this.#samples.set(key, runs);
    if (runs.at(-1)?.state === now) runs.at(-1).looks += 1;
    else runs.push({ state: now, looks: 1 });
    let over = runs.reduce((sum, run) => sum + run.looks, 0) - History.LENGTH;
    while (over > 0) {
      const cut = Math.min(over, runs[0].looks);
      runs[0].looks -= cut;
      over -= cut;
      if (runs[0].looks === 0) runs.shift();
    }
    return runs;
  }
}

/** A bar of runs; `whole` is what fills it. */
function strip(runs, whole, label) {
  const made = element("div", { className: "strip", role: "img", ariaLabel: label, title: label });
  for (const { state, looks } of runs) {
    const part = element("i");
    part.dataset.state = state;
    part.style.flexBasis = `${(100 * looks) / whole}%`;
    made.append(part);
  }
  return made;
}

/** Load balancers with their target groups, and the groups that have none. `targets` fetches those of a group that is open. */
export async function drawBalancers(places, overview, history, targets, more) {
  const { load_balancers: balancers, listeners, target_groups: groups } = overview;
  places.counted.textContent = `${balancers.shown.length} of ${balancers.total}`;
  empty(places.balancers, balancers.total === 0);
  const few = groups.shown.length <= 12;
  const asked = [];
  const drawGroups = (parent, those) => sync(parent, those, (group) => group.arn, (group) => makeGroup(few && total(group) <= 20), (row, group) => {
    updateGroup(row, group);
    if (row.open) asked.push([row, group]);
  });
  const shown = balancers.shown.map((balancer) => ({ ...balancer, key: balancer.arn }));
  if (balancers.total > shown.length) shown.push({ key: "more" });
  sync(places.balancers, shown, (balancer) => balancer.key, (balancer) => (balancer.arn ? makeBalancer(shown.length <= 12) : makeMore(more)), (row, balancer) => {
    if (!balancer.arn) return;
    const own = listeners.filter((listener) => listener.load_balancer === balancer.arn);
    updateBalancer(row, balancer, own, groups.shown);
    drawGroups(row.querySelector(".groups"), row.open ? groups.shown.filter((group) => group.load_balancer === balancer.arn) : []);
  });
  const loose = groups.shown.filter((group) => !group.load_balancer);
  places.groups.parentElement.hidden = loose.length === 0;
  drawGroups(places.groups, loose);
  await Promise.all(asked.map(async ([row, group]) => updateTargets(row, group, await targets(group.arn, row.limit), history)));
}

function makeMore(more) {
  const button = element("button", { type: "button" }, "Show more");
  button.addEventListener("click", more);
  return element("p", {}, button);
}

function makeBalancer(open) {
  const inner = element("div", { className: "inner" },
    element("ul", { className: "plain chips", ariaLabel: "Zones" }),
    element("ul", { className: "plain chips", ariaLabel: "Listeners" }),
    element("div", { className: "groups" }));
  return element("details", { open }, element("summary"), inner);
}

function updateBalancer(row, balancer, listeners, groups) {
  const [summary, inner] = row.children;
  const [zones, ports] = inner.children;
  const tags = Object.entries(balancer.tags);
  put(summary, [balancer.state, balancer.dns_name, tags], () => [
    element("span", { className: "name", title: balancer.arn }, balancer.name),
    state(balancer.state),
    element("span", { className: "dim" }, balancer.scheme),
    element("span", { className: "code dim" }, balancer.dns_name),
  ]);
  put(zones, [balancer.zones, tags], () => [
    ...balancer.zones.map((zone) => chip(`${zone.zone} `, element("span", { className: "code" }, zone.address ?? ""))),
    ...tags.map(([key, value]) => chip(element("span", { className: "dim" }, `${key} = ${value}`))),
  ]);
  const named = (arn) => groups.find((group) => group.arn === arn)?.name ?? arn ?? "";
  put(ports, listeners.map((listener) => [listener, named(listener.target_group)]), () =>
    listeners.map((listener) => chip(element("strong", {}, `${listener.protocol} ${listener.port}`), ` → ${named(listener.target_group)}`)));
}

const total = (group) => Object.values(group.states).reduce((sum, number) => sum + number, 0);

function makeGroup(open) {
  const row = element("details", { className: "group", open }, element("summary"), element("div", { className: "inner scroll" }));
  row.limit = 100;
  return row;
}

function updateGroup(row, group) {
  put(row.firstElementChild, [group.states, group.check, group.port], () => {
    const counts = Object.entries(group.states);
    const said = counts.map(([kind, number]) => `${number} ${kind}`).join(", ") || "no targets";
    const runs = counts.map(([kind, number]) => ({ state: kind, looks: number }));
    const bar = element("span", { className: "total" }, strip(runs, Math.max(total(group), 1), said));
    return [
      element("span", { className: "name", title: group.arn }, group.name),
      element("span", { className: "dim" }, `${group.protocol} ${group.port}, ${group.target_type}, check ${group.check}`),
      element("span", { className: "end" }, said),
      bar,
    ];
  });
}

function updateTargets(row, group, targets, history) {
  const inner = row.lastElementChild;
  if (targets.total === 0) return put(inner, [], () => [element("p", { className: "dim" }, "No targets are registered.")]);
  let body = inner.querySelector("tbody");
  if (!body) {
    body = table(["Target", "Zone", "State", "Last two minutes"], []);
    const button = element("button", { type: "button" }, "Show more targets");
    button.addEventListener("click", () => { row.limit += 500; });
    inner.said = undefined;
    inner.replaceChildren(body, element("p", { className: "more" }, button));
    body = body.querySelector("tbody");
  }
  inner.querySelector(".more").hidden = targets.shown.length >= targets.total;
  const key = (target) => `${target.id}:${target.port}`;
  sync(body, targets.shown, key, () => element("tr", {}, ...["", "", "", "strips"].map((className) => element("td", { className }))), (line, target) => {
    const [name, zone, health, strips] = line.children;
    put(name, [target.address], () => [code(key(target)), target.address === target.id ? "" : element("span", { className: "dim" }, ` ${target.address}`)]);
    put(zone, [target.zone], () => [target.zone ?? "all"]);
    put(health, [target.state, target.reason, target.description], () => [
      state(target.state), " ", element("span", { className: "dim", title: target.description }, target.reason ?? ""),
    ]);
    const runs = history.note(`${group.arn} ${key(target)}`, target.state);
    const told = runs.map((run) => `${run.state} ${run.looks} s`).join(", then ");
    put(strips, told, () => [strip(runs, History.LENGTH, told)]);
  });
}
