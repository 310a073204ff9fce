// The filter and the order of the list of many elections. Both are in the address of the page, after
// the `#`: you can keep and send it, and no server receives them.

const kinds = [
  { name: "all", has: () => true },
  { name: "trouble", has: (seat) => seat.state.kind === "trouble" },
  { name: "leading here", has: (seat) => seat.state.kind === "leads" },
  { name: "standing by", has: (seat) => seat.state.kind === "standby" },
  { name: "stood down", has: (seat) => seat.state.kind === "down" },
];

/** Trouble first. */
const URGENCY = { trouble: 0, down: 1, leads: 2, standby: 3 };

const byName = (one, other) => one.election.localeCompare(other.election, "en", { numeric: true });
const newest = ({ past }) => past.at(-1)?.at ?? 0;

const orders = {
  trouble: (one, other) => urgency(one) - urgency(other),
  name: byName,
  leader: (one, other) => (one.view.holderIdentity ?? "").localeCompare(other.view.holderIdentity ?? "") || byName(one, other),
  changed: (one, other) => newest(other) - newest(one) || byName(one, other),
};

let kind = kinds[0];
let words = "";
let order = "trouble";

/** Elections without a leader come first. */
const urgency = (seat) => (isLeaderless(seat) ? -1 : URGENCY[seat.state.kind]);

function readAddress() {
  const params = new URLSearchParams(location.hash.slice(1));
  kind = kinds.find(({ name }) => name === params.get("show")) ?? kinds[0];
  order = Object.hasOwn(orders, params.get("sort") ?? "") ? params.get("sort") : "trouble";
  byId("filter").value = params.get("filter") ?? "";
  byId("order").value = order;
  words = byId("filter").value.trim().toLowerCase();
}

function writeAddress() {
  words = byId("filter").value.trim().toLowerCase();
  order = byId("order").value;
  const params = new URLSearchParams();
  if (kind !== kinds[0]) params.set("show", kind.name);
  if (words) params.set("filter", words);
  if (order !== "trouble") params.set("sort", order);
  history.replaceState(null, "", `#${params}`);
  render();
}

function drawKinds(all) {
  for (const each of kinds) {
    if (!each.button) {
      each.button = document.createElement("button");
      each.button.type = "button";
      each.count = document.createElement("b");
      each.button.append(each.name, each.count);
      each.button.onclick = () => {
        kind = each;
        writeAddress();
      };
      byId("kinds").append(each.button);
    }
    text(each.count, all.filter(each.has).length);
    attribute(each.button, "aria-pressed", each === kind);
  }
}

const named = (...names) => names.some((name) => name?.toLowerCase().includes(words));

/** Shows the elections that match. */
function select(all) {
  let shown = 0;
  const narrowed = all.length > CARDS;
  for (const seat of all) {
    const wanted = !narrowed || (kind.has(seat) && named(seat.election, seat.view.holderIdentity));
    seat.parts.item.hidden = !wanted;
    shown += wanted;
  }
  byId("none").hidden = shown > 0;
  if (all.length > 0) text(byId("none"), "No election matches.");
  else text(byId("none"), lost ? "" : "Connecting to the sidecar …");
}

/** Sorts the elections. An element in its place is not moved: it may have the focus. */
function arrange(all) {
  // Without contact no state is known, so the order stays.
  if (!inContact()) return;
  const focused = document.activeElement;
  let place = byId("list").firstElementChild;
  for (const { parts } of [...all].sort(orders[order])) {
    if (parts.item === place) place = place.nextElementSibling;
    else byId("list").insertBefore(parts.item, place);
  }
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
}
