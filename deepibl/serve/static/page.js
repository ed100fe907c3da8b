// The page: takes photos, asks the API, shows the answers. Strings are set as text, never as markup.
import { ask, health, Refusal } from "./ask.js";
import { clearPlaces, focusPlace, showPlaces, verdict, where } from "./places.js";
import { clearMap, showMap } from "./map.js";
import { listPhotos, markPhoto, updatePhoto } from "./photos.js";

const find = (id) => document.getElementById(id);
const status = find("status"), problem = find("problem"), drop = find("drop"), preview = find("preview");
const AGAIN = 3; // times that a busy page is asked again by itself
const MOST = 200; // photos at a time
const TOGETHER = 2; // of them asked at once, so that others who use the page are answered too

let limits = { upload_bytes: Infinity, heatmaps: [] };
let photos = []; // { file, name, url, answer or refusal, row of the list }
let shown = null; // the one whose places are shown
let asking = new AbortController();

function say(text, busy = false) {
  status.textContent = text;
  status.classList.toggle("busy", busy);
}

function complain(refusal) {
  say("");
  const [error, advice] = problem.querySelectorAll("p");
  error.firstElementChild.textContent = refusal.error;
  advice.textContent = refusal.whatToDo;
  problem.hidden = false;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

async function taken(files) {
  const chosen = [...(files || [])].slice(0, MOST);
  if (chosen.length === 0) return;
  asking.abort();
  const { signal } = asking = new AbortController();
  for (const entry of photos) URL.revokeObjectURL(entry.url);
  photos = chosen.map((file) => ({ file, name: file.name || "pasted photo", url: URL.createObjectURL(file) }));
  listPhotos(photos, select);
  select(photos[0]);
  const waiting = [...photos];
  const one = async () => { while (waiting.length && !signal.aborted) await localize(waiting.shift(), signal); };
  await Promise.all(Array.from({ length: TOGETHER }, one));
}

async function localize(entry, signal) {
  try {
    const most = limits.upload_bytes;
    if (entry.file.size > most) {
      throw new Refusal(413, { error: `the photo has more than ${most / 1e6} MB`,
        what_to_do: "Send a smaller one, e.g. 2000 pixels wide." });
    }
    entry.answer = await patiently(entry, signal);
  } catch (refusal) {
    entry.refusal = refusal;
  }
  if (signal.aborted) return;
  updatePhoto(entry);
  if (entry === shown) select(entry);
}

function select(entry) {
  shown = entry;
  markPhoto(entry);
  problem.hidden = true;
  find("intro").hidden = find("found").hidden = find("where").hidden = true;
  clearPlaces();
  clearMap();
  preview.hidden = false;
  find("invite").hidden = true;
  preview.onerror = () => { preview.hidden = true; find("invite").hidden = false; drop.classList.remove("filled"); };
  preview.src = entry.url;
  drop.classList.add("filled");
  find("facts").textContent = `${entry.name}, ${size(entry.file.size)}`;
  if (entry.refusal) complain(entry.refusal);
  else if (entry.answer) present(entry);
  else say("Looking for the place …", true);
}

async function patiently(entry, signal) {
  const tell = (text) => entry === shown && say(text, true);
  for (let attempt = 0; ; attempt++) {
    tell("Looking for the place …");
    try {
      return await ask("localize", entry.file, { top: 5 }, signal);
    } catch (refusal) {
      if (refusal.status !== 503 || attempt >= AGAIN || signal.aborted) throw refusal;
      tell(`The page is busy; asking again in ${refusal.retryAfter} s …`);
      await new Promise((go) => setTimeout(go, 1000 * refusal.retryAfter));
      if (signal.aborted) throw refusal;
    }
  }
}

function present({ file, name, answer }) {
  const { photo: sent, places, seconds } = answer;
  const scaled = sent.described_width !== sent.width ? `, compared at ${sent.described_width} × ${sent.described_height}` : "";
  find("facts").textContent = `${name}, ${sent.width} × ${sent.height} pixels${scaled}`;
  say(`${places.length} ${places.length === 1 ? "place" : "places"}, found in ${seconds.toFixed(2)} s.`);
  if (places.length === 0) return;
  showPlaces(places, file, limits.heatmaps, asking.signal);
  find("found").hidden = false;
  verdict(find("verdict"), answer);
  find("estimate").textContent = "";
  where(find("estimate"), answer, true);
  const placed = places.filter((place) => place.east !== null || place.latitude !== null);
  find("where").hidden = placed.length === 0;
  if (placed.length) showMap(places, sent, focusPlace);
  if (photos.length > 1) return; // the list keeps the focus
  focusPlace(places[0].row, { scroll: false });
  if (matchMedia("(max-width: 900px)").matches) status.scrollIntoView({ block: "start" });
}

for (const [button, input] of [["choose", "file"], ["take", "camera"]]) {
  find(button).addEventListener("click", () => find(input).click());
  find(input).addEventListener("change", (event) => { taken([...event.target.files]); event.target.value = ""; });
}
drop.addEventListener("click", () => find("file").click());
find("again").addEventListener("click", () => {
  if (!shown) return;
  shown.refusal = undefined;
  select(shown);
  localize(shown, asking.signal);
});
find("take").hidden = !matchMedia("(pointer: coarse)").matches;

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
document.addEventListener("drop", (event) => taken(event.dataTransfer && event.dataTransfer.files));
document.addEventListener("paste", (event) => taken(event.clipboardData && event.clipboardData.files));

health().then((found) => {
  limits = found;
  find("file").accept = found.accept.join();
  find("credit").textContent = found.attribution;
  find("about").textContent =
    `${found.images.toLocaleString("en")} geo-tagged photos of ${found.index || "an index"}, network ${found.network || found.network_id.slice(0, 12)}`;
}).catch(complain);
