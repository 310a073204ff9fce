// What is said of the sidecar as a whole: the contact with it, the alarm, the title.

function drawContact() {
  const [first] = seats.values();
  const identity = first?.view?.identity;
  text(byId("me"), identity ?? "");
  const known = inContact();
  tone(byId("contact"), known ? "good" : heardAt === null && !lost ? "quiet" : "bad");
  text(byId("contact-word"), known ? "live" : heardAt === null && !lost ? "connecting" : "no contact");
  let alarm = "";
  if (lostContact()) {
    alarm = `No contact with the sidecar since ${clock(heardAt.wall)}. ` +
      "What it said before may not be true any more.";
  } else if (lost) alarm = "The sidecar does not answer.";
  text(byId("alarm"), alarm);
  const leading = [...seats.values()].filter((seat) => seat.state.kind === "leads").length;
  const all = seats.size === 1 ? first.state.word : `leads ${leading} of ${seats.size}`;
  const title = [known ? all : lostContact() ? "no contact" : "", identity, "bellwether"];
  document.title = title.filter(Boolean).join(" · ");
}
