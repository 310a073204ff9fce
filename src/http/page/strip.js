// The history of one election, as a strip. A piece stays while it shows the same: it may have the focus.

/** The shortest and the longest time that a strip shows. It begins with the first change. */
const STRIP_LEAST_MS = 60_000;
const STRIP_MOST_MS = 24 * 3_600_000;

/** A narrower piece, in percent of the strip, has no room for a name. */
const NARROW = 18;

function drawStrip(seat) {
  const { past, pieces, parts } = seat;
  parts.past.hidden = past.length === 0;
  if (past.length === 0) return;
  // The strip ends with the last contact.
  const now = lostContact() ? receivedAt.wall + (clockOffset ?? 0) : sidecarNow();
  const length = Math.min(Math.max(now - past[0].at, STRIP_LEAST_MS), STRIP_MOST_MS);
  const start = now - length;
  const at = (time) => (Math.min(Math.max((time - start) / length, 0), 1)) * 100;
  const kept = new Set();
  for (const part of stretches(past, now)) {
    if (part.to < start) continue;
    const key = keyOf(part);
    kept.add(key);
    drawPiece(pieceOf(seat, key, part), part, at(part.from), at(part.to));
  }
  for (const [key, piece] of pieces) {
    if (kept.has(key)) continue;
    piece.remove();
    pieces.delete(key);
  }
  const texts = [...pieces.values()].slice(-8).map((piece) => piece.title);
  attribute(parts.strip, "aria-label", `Who led: ${texts.join("; ")}`);
  text(parts.from, `${span(length)} ${lostContact() ? "before" : "ago"}`);
  text(parts.to, lostContact() ? "last contact" : "now");
  title(parts.from, utc(start));
  title(parts.to, utc(now));
  choose(seat, pieces.has(seat.chosen) ? seat.chosen : null);
}

/** The key of a stretch. A change begins one, and may add another before it. */
function keyOf({ change, kind }) {
  change.keys ??= {};
  return (change.keys[kind] ??= { change, kind });
}

function pieceOf(seat, key, { kind, change }) {
  const known = seat.pieces.get(key);
  if (known) return known;
  const piece = document.createElement("button");
  piece.type = "button";
  piece.className = `piece ${kind === "led" ? hue(change) : kind}`;
  piece.onclick = () => choose(seat, key);
  piece.onkeydown = (event) => stepByKey(seat, key, event);
  seat.pieces.set(key, piece);
  seat.parts.strip.append(piece);
  return piece;
}

function drawPiece(piece, part, from, to) {
  const width = to - from;
  piece.classList.toggle("narrow", width < NARROW);
  piece.style.left = `${from}%`;
  piece.style.width = `${width}%`;
  title(piece, `${stretch(part)} (from ${utc(part.from)})`);
  attribute(piece, "aria-label", piece.title);
  text(piece, part.kind === "led" && width >= NARROW ? short.strip(part.change.holder) : "");
}

/** Shows the text of a piece: touch shows no title, and a narrow piece has no text. */
function choose(seat, key) {
  seat.chosen = key;
  const { parts, pieces } = seat;
  parts.detail.hidden = key === null;
  text(parts.detailText, key ? pieces.get(key).title : "");
  // The tab key reaches one piece, and the arrow keys the others.
  const first = key ?? [...pieces.keys()].at(-1);
  for (const [each, piece] of pieces) {
    attribute(piece, "aria-pressed", each === key);
    piece.tabIndex = each === first ? 0 : -1;
  }
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

function step(seat, by) {
  const all = [...seat.pieces.keys()];
  const place = Math.min(Math.max(all.indexOf(seat.chosen) + by, 0), all.length - 1);
  choose(seat, all[place]);
  return seat.pieces.get(all[place]);
}

function stepByKey(seat, key, event) {
  const by = STEPS[event.key];
  if (by === undefined) return;
  event.preventDefault();
  seat.chosen = key;
  step(seat, by).focus();
}
