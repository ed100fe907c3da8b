// The map: an SVG that the server draws; it is parsed as SVG and put into the page, pins lead to the cards.
import { drawing } from "./ask.js";

const box = document.getElementById("map"), where = document.getElementById("where");
const buttons = [...where.querySelectorAll("[data-extent]")];
let wanted = "";
let draw = null;

export function clearMap() {
  wanted = "";
  draw = null;
  box.textContent = "";
}

export function showMap(places, sent, follow) {
  const query = new URLSearchParams(places.map((place) => ["rows", place.row]));
  if (sent.latitude !== null) {
    query.set("latitude", sent.latitude);
    query.set("longitude", sent.longitude);
  }
  document.getElementById("own").hidden = sent.latitude === null;
  draw = async (extent) => {
    query.set("extent", extent);
    const path = wanted = `api/map?${query}`;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.extent === extent));
    try {
      const text = await drawing(path);
      if (path === wanted) put(text, follow);
    } catch (refusal) {
      if (path === wanted) box.textContent = `${refusal.error} ${refusal.whatToDo}`;
    }
  };
  draw("near");
}

function put(text, follow) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  box.replaceChildren(document.importNode(parsed, true));
  for (const link of box.querySelectorAll("a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      follow(Number(link.getAttribute("href").replace("#place-", "")));
    });
  }
  choose(where.dataset.row);
}

export function choose(row) {
  where.dataset.row = row;
  for (const link of box.querySelectorAll("a")) {
    link.classList.toggle("chosen", link.getAttribute("href") === `#place-${row}`);
  }
}

for (const button of buttons) button.addEventListener("click", () => draw && draw(button.dataset.extent));
