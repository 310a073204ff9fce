// Names: what tells them apart is shown, the whole is in the title and can be copied.

/** How many characters a name may have in a line of a list, on a card, among changes, and on a strip. */
const IN_LINE = 22;
const ON_CARD = 34;
const IN_CHANGES = 20;
const ON_STRIP = 7;

/** After these a name can be divided. */
const MARKS = /[-./:_@]/;

/** A beginning that is not longer than this is worth its place more than the sign that replaces it. */
const KEPT_BEGINNING = 3;

const HUES = 6;

/**
 * What tells names apart in a place of so many characters, as `status` shows them in a narrow terminal:
 * the beginning that all of them have goes first. If that is not enough, a part goes without which they
 * can still be told apart: the end of names that programs make says most, of others the beginning.
 */
function shortened(names, width, endFirst) {
  const whole = [...new Set(names)].map((name) => [...name]);
  const fit = (all) => all.every((name) => name.length <= width);
  const told = (all) => {
    const short = new Map(whole.map((name, place) => [name.join(""), all[place].join("")]));
    return (name) => short.get(name) ?? name;
  };
  if (fit(whole)) return told(whole);
  const same = sharedBeginning(whole);
  const tails = same > 0 ? whole.map((name) => ["…", ...name.slice(same)]) : whole;
  if (fit(tails)) return told(tails);
  const cut = (all, how) => all.map((name) => how(name, width));
  const [one, other] = endFirst ? [keepEnd, keepBeginning] : [keepBeginning, keepEnd];
  const cuts = [cut(whole, one), cut(whole, other), cut(tails, keepBeginning), cut(tails, keepBoth)];
  const clear = (all) => new Set(all.map((name) => name.join(""))).size === whole.length;
  return told(cuts.find(clear) ?? cuts[0]);
}

/** How much all names share, up to the last mark in it. Something of each stays. */
function sharedBeginning(names) {
  if (names.length < 2) return 0;
  const shortest = Math.min(...names.map((name) => name.length));
  let end = 0;
  for (let at = 0; at < shortest - 1 && names.every((name) => name[at] === names[0][at]); at += 1) {
    if (MARKS.test(names[0][at])) end = at + 1;
  }
  return end > KEPT_BEGINNING ? end : 0;
}

const keepEnd = (name, width) => (name.length <= width ? name : ["…", ...name.slice(1 - width)]);
const keepBeginning = (name, width) => (name.length <= width ? name : [...name.slice(0, width - 1), "…"]);

function keepBoth(name, width) {
  const begin = Math.floor((width - 1) / 2);
  return name.length <= width ? name : [...name.slice(0, begin), ...keepEnd(name.slice(begin), width - begin)];
}

/** The short forms of all instances and all elections that the page names. Made anew when one is new. */
const short = { of: "" };

function nameAll(all, shown) {
  const width = all.length > CARDS ? IN_LINE : ON_CARD;
  const instances = all.flatMap((seat) => [seat.view.identity, seat.view.holderIdentity]);
  instances.push(...shown.map((change) => change.holder));
  const elections = all.map((seat) => seat.election);
  const of = JSON.stringify([width, [...new Set(instances)].sort(), elections]);
  if (of === short.of) return;
  const everyone = instances.filter(Boolean);
  const alone = new Set(everyone).size === 1;
  Object.assign(short, {
    of,
    instance: shortened(everyone, width, true),
    // A single name is to be told from none.
    past: shortened(everyone, alone ? width : IN_CHANGES, true),
    strip: shortened(everyone, ON_STRIP, true),
    election: shortened(elections, width, false),
  });
}

/** Shows a name in its short form on a button that copies the whole one. */
function nameOn(button, whole, shown, origin) {
  text(button, shown);
  attribute(button, "title", origin ? `${whole}\n${origin}` : whole);
  attribute(button, "aria-label", `${whole}: copy`);
  button.classList.toggle("long", [...shown].length > IN_LINE);
  button.whole = whole;
}

/** How long it is said that a name was copied. */
const COPIED_MS = 4000;

let copiedUntil = null;

async function copy(whole) {
  text(byId("copied-name"), whole);
  byId("copied").hidden = false;
  // The clipboard is there only for what comes from the own host or by TLS.
  const written = navigator.clipboard?.writeText(whole).then(() => true, () => false);
  const copied = (await written) || copySelected(byId("copied-name"));
  text(byId("copied-word"), copied ? "Copied" : "Copy this");
  clearTimeout(copiedUntil);
  if (copied) copiedUntil = setTimeout(() => (byId("copied").hidden = true), COPIED_MS);
}

/** The older way. It leaves the name selected, so that it can be copied by hand. */
function copySelected(element) {
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}

/** This instance has a colour of its own while it leads; others get one by their name. */
function hue({ holder, leader }) {
  if (leader) return "hue-own";
  let sum = 0;
  for (const letter of holder) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `hue-${sum % HUES}`;
}
