// The list of places: cards, keys, and the heatmaps that unfold below a card.
import { picture } from "./ask.js";
import { choose } from "./map.js";

const KINDS = { guided: "guided gradient", gradient: "gradient", cells: "matching parts" };
const CHANGES = "Where a small change of a pixel changes the similarity most.";
const MEANING = {
  cells: "Red and yellow speak for the match, blue against it, by share of the similarity. Frames of one number look alike.",
  guided: CHANGES, gradient: CHANGES,
};
const list = document.getElementById("places"), mould = document.getElementById("place");

export function clearPlaces() {
  for (const image of list.querySelectorAll(".heat img")) URL.revokeObjectURL(image.src);
  list.textContent = "";
}

export function showPlaces(places, photo, kinds, signal) {
  clearPlaces();
  for (const place of places) list.append(card(place, photo, kinds, signal));
  list.firstElementChild.tabIndex = 0;
}

export function focusPlace(row, { scroll = true } = {}) {
  const item = document.getElementById(`place-${row}`);
  if (item) item.focus({ preventScroll: !scroll });
}

function card(place, photo, kinds, signal) {
  const item = mould.content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(name);
  item.id = `place-${place.row}`;
  item.classList.toggle("best", place.rank === 1);
  item.setAttribute("aria-label", `Place ${place.rank}: ${place.name}`);
  part(".picture").src = `${place.thumbnail}?side=480`;
  part(".picture").alt = `Image of place ${place.rank}`;
  part(".rank").textContent = place.rank;
  part(".name").textContent = place.name.split("/").pop();
  part(".name").title = place.name;
  if (place.metres_from_photo !== null) {
    part(".near").textContent = `${length(place.metres_from_photo)} from the photo's own GPS position`;
  }
  similarity(part(".bar"), place);
  position(part(".position"), place);
  const why = part(".why");
  why.addEventListener("click", () => unfold(item, place, photo, kinds, signal));
  item.addEventListener("focus", () => chosen(item, place.row));
  item.addEventListener("keydown", (event) => {
    if (event.target === item && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      why.click();
    }
  });
  return item;
}

function similarity(bar, place) {
  const meter = bar.querySelector("meter");
  meter.hidden = place.cosine === null;
  meter.value = Math.max(0, place.cosine ?? 0);
  meter.title = "cosine of the two descriptors";
  const cosine = place.cosine === null ? "" : `, cosine ${place.cosine.toFixed(3)}`;
  const confidence = place.confidence === null ? "" : `, confidence ${place.confidence.toFixed(2)}`;
  bar.querySelector("span").textContent = `distance ${place.distance.toFixed(4)}${cosine}${confidence}`;
}

function position(text, place) {
  if (place.latitude !== null) {
    const link = document.createElement("a");
    link.href = place.map_link;
    link.target = "_blank";
    link.rel = "noreferrer noopener";
    link.textContent = `${place.latitude.toFixed(6)}, ${place.longitude.toFixed(6)}`;
    link.title = "opens OpenStreetMap in a new tab";
    text.append(link);
  } else if (place.east !== null) {
    text.append(`${place.east.toFixed(1)} E ${place.north.toFixed(1)} N, metres`);
  }
}

export function verdict(line, answer) {
  line.textContent = answer.summary.charAt(0).toUpperCase() + answer.summary.slice(1);
  line.classList.remove("confident", "likely", "no-confident-match", "confidence-unknown");
  line.classList.add(answer.verdict.replaceAll(" ", "-"));
}

export function where(line, { estimate }, whole = false) {
  line.hidden = !estimate;
  if (!estimate) return;
  if (whole) line.append("Taken at about ");
  position(line, estimate);
  const images = estimate.images === 1 ? "one image" : `${estimate.images} images that agree`;
  const spread = estimate.spread === null ? "" : `, spread ${estimate.spread.toFixed(0)}\u00a0m`;
  line.append(whole ? `, by ${images}${spread}.` : spread);
}

function length(metres) {
  return metres < 1000 ? `${Math.round(metres)} m` : `${(metres / 1000).toFixed(metres < 10000 ? 1 : 0)} km`;
}

function chosen(item, row) {
  for (const other of list.children) other.tabIndex = other === item ? 0 : -1;
  choose(row);
}

list.addEventListener("keydown", (event) => {
  const items = [...list.children], at = items.findIndex((item) => item.contains(document.activeElement));
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (next === undefined || at < 0) return;
  event.preventDefault();
  items[Math.min(items.length - 1, Math.max(0, next))].focus();
});

function unfold(item, place, photo, kinds, signal) {
  const heat = item.querySelector(".heat"), why = item.querySelector(".why");
  heat.hidden = !heat.hidden;
  why.setAttribute("aria-expanded", String(!heat.hidden));
  if (heat.hidden || heat.dataset.drawn) return;
  heat.dataset.drawn = "yes";
  const buttons = kinds.map((kind) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = KINDS[kind] || kind;
    button.addEventListener("click", () => press(kind));
    return button;
  });
  heat.querySelector(".choice").append(...buttons);
  let latest = 0;
  async function press(kind) {
    const mine = ++latest;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(kinds[i] === kind)));
    await draw(heat, place, photo, kind, signal, () => mine === latest);
  }
  press(kinds[0]);
}

async function draw(heat, place, photo, kind, signal, current) {
  const status = heat.querySelector("[role=status]"), image = heat.querySelector("figure img");
  status.textContent = "Drawing …";
  try {
    const blob = await picture("heatmap", photo, { row: place.row, method: kind }, signal);
    if (!current()) return;
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    status.textContent = MEANING[kind] || "";
  } catch (refusal) {
    if (current() && !signal.aborted) status.textContent = `${refusal.error} ${refusal.whatToDo}`;
  }
}
