// Which elections are shown, if there are many.

const kinds = [
  { name: "all", has: () => true },
  { name: "leading here", has: (seat) => seat.state.kind === "leads" },
  { name: "standing by", has: (seat) => seat.state.kind === "standby" },
  { name: "to look at", has: (seat) => seat.state.kind === "trouble" },
];
let kind = kinds[0];
let words = "";

function drawKinds(all) {
  for (const each of kinds) {
    if (!each.button) {
      each.button = document.createElement("button");
      each.button.type = "button";
      each.count = document.createElement("b");
      each.button.append(each.name, each.count);
      each.button.onclick = () => {
        kind = each;
        render();
      };
      byId("kinds").append(each.button);
    }
    text(each.count, all.filter(each.has).length);
    attribute(each.button, "aria-pressed", each === kind);
  }
}

const named = (...names) => names.some((name) => name?.toLowerCase().includes(words));

/** Shows what is asked for. */
function select(all) {
  let shown = 0;
  const narrowed = all.length > CARDS;
  for (const seat of all) {
    const wanted = !narrowed || (kind.has(seat) && named(seat.election, seat.view.holderIdentity));
    seat.parts.item.hidden = !wanted;
    shown += wanted;
  }
  byId("none").hidden = shown > 0;
  if (all.length > 0) text(byId("none"), "No election is like that.");
  else text(byId("none"), lost ? "" : "Asking the sidecar …");
}
