// The list of several photos: of each its thumbnail, the verdict, where it was taken, and the best places.
import { capital } from "./ask.js";
import { verdict, where } from "./places.js";

const BEST = 3;
const section = document.getElementById("several"), list = document.getElementById("photos");
const mould = document.getElementById("photo"), answered = document.getElementById("answered");
let entries = [];

export function listPhotos(photos, select) {
  entries = photos;
  section.hidden = photos.length < 2;
  list.replaceChildren(...photos.map((entry) => row(entry, select)));
  count();
}

function row(entry, select) {
  const item = entry.row = mould.content.firstElementChild.cloneNode(true);
  const image = item.querySelector("img"), name = item.querySelector("button");
  image.src = entry.url;
  image.onerror = () => image.classList.add("unseen"); // a kind that this browser does not show
  name.textContent = entry.name;
  name.addEventListener("click", () => select(entry));
  image.addEventListener("click", () => select(entry));
  item.querySelector(".verdict").textContent = "waiting …";
  return item;
}

export function updatePhoto(entry) {
  const { answer, refusal, row: item } = entry;
  const said = item.querySelector(".verdict"), position = item.querySelector(".position");
  item.classList.toggle("refused", Boolean(refusal));
  if (refusal) {
    said.textContent = `${refusal.error} ${refusal.whatToDo}`;
  } else {
    verdict(said, answer);
    said.title = said.textContent;
    const sure = answer.confidence === null ? "" : `, probability ${answer.confidence.toFixed(2)}`;
    said.textContent = capital(`${answer.verdict}${sure}`);
    position.textContent = "";
    where(position, answer);
    item.querySelector(".answers").replaceChildren(...answer.places.slice(0, BEST).map(thumbnail));
  }
  count();
}

function thumbnail(place) {
  const image = new Image(96, 72);
  image.className = "small";
  image.src = `${place.thumbnail}?side=192`;
  image.alt = `place ${place.rank}: ${place.name}`;
  image.title = place.name;
  return image;
}

export function markPhoto(shown) {
  for (const entry of entries) {
    if (entry === shown) entry.row.setAttribute("aria-current", "true");
    else entry.row.removeAttribute("aria-current");
  }
}

function count() {
  const done = entries.filter((entry) => entry.answer || entry.refusal).length;
  answered.textContent = `${done} of ${entries.length} answered`;
}
