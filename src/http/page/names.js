// Names: the page shows the part that differs. The title has the whole name, and a click copies it.

/** The most characters of a name in a line of the list, on a card, among changes, and on a strip. */
const IN_LINE = 22;
const ON_CARD = 34;
const IN_CHANGES = 20;
const ON_STRIP = 7;

/** A name can be divided after these. */
const MARKS = /[-./:_@]/;

/** A shared beginning of this length or less stays: the sign that replaces it needs as much room. */
const KEPT_BEGINNING = 3;

const HUES = 6;

/**
 * The short forms of names for a place of this width. The beginning that all names share is left out
 * first. If that is not enough, another part is left out, so that the names still differ: of names that
 * programs make the end stays if possible, of others the beginning. `status` and the log use the same
 * rules: names.cases.json has the cases that both are tested with.
 */
function shortened(names, width, endFirst) {
  const whole = [...new Set(names)].map((name) => [...name]);
  const fit = (all) => all.every((name) => name.length <= width);
  const lookup = (all) => {
    const short = new Map(whole.map((name, place) => [name.join(""), all[place].join("")]));
    return (name) => short.get(name) ?? name;
  };
  if (fit(whole)) return lookup(whole);
  const same = sharedBeginning(whole);
  const tails = same > 0 ? whole.map((name) => ["…", ...name.slice(same)]) : whole;
  if (fit(tails)) return lookup(tails);
  const cut = (all, how) => all.map((name) => how(name, width));
  const [one, other] = endFirst ? [keepEnd, keepBeginning] : [keepBeginning, keepEnd];
  const cuts = [cut(whole, one), cut(whole, other), cut(tails, keepBeginning), cut(tails, keepBoth)];
  const clear = (all) => new Set(all.map((name) => name.join(""))).size === whole.length;
  return lookup(cuts.find(clear) ?? cuts[0]);
}

/** The length of the beginning that all names share, up to its last mark. A part of each name stays. */
function sharedBeginning(names) {
  if (names.length < 2) return 0;
  const shortest = Math.min(...names.map((name) => name.length));
  let end = 0;
  for (let at = 0; at < shortest - 1 && names.every((name) => name[at] === names[0][at]); at += 1) {
    if (MARKS.test(names[0][at])) end = at + 1;
  }
  return end > KEPT_BEGINNING ? end : 0;
}

const keepEnd = (name, width) => (name.length <= width ? name : ["…", ...name.slice(name.length - width + 1)]);
const keepBeginning = (name, width) => (name.length <= width ? name : [...name.slice(0, width - 1), "…"]);

function keepBoth(name, width) {
  const begin = Math.floor((width - 1) / 2);
  return name.length <= width ? name : [...name.slice(0, begin), ...keepEnd(name.slice(begin), width - begin)];
}

/** The short forms of all instances and elections on the page. A new name makes them again. */
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
    // A single name needs no short form to differ.
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

/** For how long the page shows that a name was copied. */
const COPIED_MS = 4000;

let copiedUntil = null;

async function copy(whole) {
  text(byId("copied-name"), whole);
  byId("copied").hidden = false;
  // Browsers offer the clipboard only to pages from the own host or with TLS.
  const written = navigator.clipboard?.writeText(whole).then(() => true, () => false);
  const copied = (await written) || copySelected(byId("copied-name"));
  text(byId("copied-word"), copied ? "Copied" : "Copy this");
  clearTimeout(copiedUntil);
  if (copied) copiedUntil = setTimeout(() => (byId("copied").hidden = true), COPIED_MS);
}

/** The older way. It leaves the name selected, so that the user can copy it. */
function copySelected(element) {
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}

/** The colour of a holder: this instance has its own while it leads, and others get one by name. */
function hue({ holder, leader }) {
  if (leader) return "hue-own";
  let sum = 0;
  for (const letter of holder) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `hue-${sum % HUES}`;
}
