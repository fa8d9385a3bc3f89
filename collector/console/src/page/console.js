// What the pages do beyond standing there: times in the reader's zone, fresh content, acknowledging. They work without it.
"use strict";

const EVERY_MS = 5000;
const status = document.getElementById("status");
let pending = false;

// The reader's own time; UTC stands in the title.
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    const isToday = date.toDateString() === new Date().toDateString();
    const isThisYear = date.getFullYear() === new Date().getFullYear();
    const day = date.toLocaleDateString([], { year: isThisYear ? undefined : "numeric", month: "short", day: "numeric" });
    time.textContent = isToday ? clock : `${day} ${clock}`;
    time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC`;
  }
}

function tell(text, lost) {
  status.textContent = text;
  status.className = lost ? "lost" : "";
}

// Fetches this page again and puts its content in place, unless that would disturb the reader.
async function refresh() {
  if (pending || document.hidden) return;
  pending = true;
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = fresh.querySelector("main");
    if (!main) throw new Error("no content");
    localise(main);
    const old = document.querySelector("main");
    for (const details of old.querySelectorAll("details[open]")) {
      main.querySelector(`#${details.id}`)?.setAttribute("open", "");
    }
    const selection = getSelection();
    const isReading = selection && !selection.isCollapsed && old.contains(selection.anchorNode);
    if (!isReading && main.innerHTML !== old.innerHTML) {
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      old.replaceWith(main);
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    }
    document.title = fresh.title;
    tell(`updated ${new Date().toLocaleTimeString()}`, false);
  } catch {
    tell("no connection to Foreshock, trying again", true);
  } finally {
    pending = false;
  }
}

async function acknowledge(button) {
  const problem = button.parentElement.querySelector(".problem");
  button.disabled = true;
  try {
    const answer = await fetch(`/api/v1/incidents/${button.dataset.acknowledge}/acknowledge`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
    if (!answer.ok) throw new Error((await answer.json()).error);
    button.textContent = "Acknowledging…";
    setTimeout(refresh, 1200);
  } catch (error) {
    button.disabled = false;
    if (problem) problem.textContent = `Not acknowledged: ${error.message}`;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-acknowledge]");
  if (button) acknowledge(button);
});
document.addEventListener("visibilitychange", refresh);
localise(document);
setInterval(refresh, EVERY_MS);
