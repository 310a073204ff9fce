// Who led when, as a strip.

/** The span of the strips: from the first change seen, between these. */
const STRIP_LEAST_MS = 60_000;
const STRIP_MOST_MS = 24 * 3_600_000;

/** Draws who led when, as a strip. */
function drawStrip({ past, parts }) {
  parts.past.hidden = past.length === 0;
  if (past.length === 0) return;
  // Nothing is drawn for a time of which nothing was heard.
  const now = lostContact() ? heardAt.wall + (clockOffset ?? 0) : sidecarNow();
  const length = Math.min(Math.max(now - past[0].at, STRIP_LEAST_MS), STRIP_MOST_MS);
  const start = now - length;
  const at = (time) => (Math.min(Math.max((time - start) / length, 0), 1)) * 100;
  const short = shortened(past.map((change) => change.holder));
  const pieces = [];
  const said = [];
  for (const part of stretches(past, now)) {
    const { kind, from, to, change } = part;
    if (to < start) continue;
    const piece = document.createElement("div");
    const width = at(to) - at(from);
    piece.className = "term-of-office";
    piece.classList.add(kind === "led" ? hue(change) : kind);
    piece.classList.toggle("narrow", width < 4);
    piece.style.left = `${at(from)}%`;
    piece.style.width = `${width}%`;
    piece.title = stretch(part);
    if (kind === "led" && width >= 4) piece.textContent = short(change.holder);
    pieces.push(piece);
    said.push(piece.title);
  }
  parts.strip.replaceChildren(...pieces);
  attribute(parts.strip, "aria-label", `Who led: ${said.slice(-8).join("; ")}`);
  text(parts.from, `${span(length)} ${lostContact() ? "before" : "ago"}`);
  text(parts.to, lostContact() ? "last heard" : "now");
}
