// Names: what tells them apart.

/** Without what all of them begin with, if they differ: in a narrow place only the rest tells. */
function shortened(holders) {
  const [first, ...others] = new Set(holders.filter(Boolean));
  let same = others.length > 0 ? first.length : 0;
  for (const other of others) {
    while (!other.startsWith(first.slice(0, same))) same -= 1;
  }
  const cut = Math.max(...["-", ".", "/", ":"].map((mark) => first?.slice(0, same).lastIndexOf(mark) ?? -1)) + 1;
  return (holder) => (cut > 3 ? `…${holder.slice(cut)}` : holder);
}

const HUES = 6;

/** This instance has a colour of its own while it leads; others get one by their name. */
function hue({ holder, leader }) {
  if (leader) return "hue-own";
  let sum = 0;
  for (const letter of holder) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `hue-${sum % HUES}`;
}
