// The page: takes a photo, asks the API, shows the answer. Strings are set as text, never as markup.
import { ask, health, Refusal } from "./ask.js";
import { clearPlaces, focusPlace, position, showPlaces } from "./places.js";
import { clearMap, showMap } from "./map.js";

const find = (id) => document.getElementById(id);
const status = find("status"), problem = find("problem"), drop = find("drop"), preview = find("preview");
const AGAIN = 3; // times that a busy page is asked again by itself

let limits = { upload_bytes: Infinity, heatmaps: [] };
let photo = null;
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

function show(file) {
  URL.revokeObjectURL(preview.src);
  preview.hidden = false;
  find("invite").hidden = true;
  preview.onerror = () => { preview.hidden = true; find("invite").hidden = false; drop.classList.remove("filled"); };
  preview.src = URL.createObjectURL(file);
  drop.classList.add("filled");
  find("facts").textContent = `${file.name || "pasted photo"}, ${size(file.size)}`;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

async function localize(file) {
  asking.abort();
  const mine = asking = new AbortController();
  photo = file;
  problem.hidden = true;
  find("intro").hidden = find("found").hidden = find("where").hidden = true;
  clearPlaces();
  clearMap();
  show(file);
  if (file.size > limits.upload_bytes) {
    const most = limits.upload_bytes / 1e6;
    complain(new Refusal(413, { error: `the photo has more than ${most} MB`,
      what_to_do: "Send a smaller one, e.g. 2000 pixels wide." }));
    return;
  }
  try {
    const answer = await patiently(() => ask("localize", file, { top: 5 }, mine.signal), mine.signal);
    if (mine.signal.aborted) return;
    present(answer, mine.signal);
  } catch (refusal) {
    if (!mine.signal.aborted) complain(refusal);
  }
}

async function patiently(question, signal) {
  for (let attempt = 0; ; attempt++) {
    say("Looking for the place …", true);
    try {
      return await question();
    } catch (refusal) {
      if (refusal.status !== 503 || attempt >= AGAIN || signal.aborted) throw refusal;
      say(`The page is busy; asking again in ${refusal.retryAfter} s …`, true);
      await new Promise((go) => setTimeout(go, 1000 * refusal.retryAfter));
      if (signal.aborted) throw refusal;
    }
  }
}

function present(answer, signal) {
  const { photo: sent, places, seconds, estimate } = answer;
  const scaled = sent.described_width !== sent.width ? `, compared at ${sent.described_width} × ${sent.described_height}` : "";
  find("facts").textContent = `${photo.name || "pasted photo"}, ${sent.width} × ${sent.height} pixels${scaled}`;
  say(`${places.length} places, found in ${seconds.toFixed(2)} s.`);
  if (places.length === 0) return;
  showPlaces(places, photo, limits.heatmaps, signal);
  find("found").hidden = false;
  find("verdict").textContent = answer.summary.charAt(0).toUpperCase() + answer.summary.slice(1);
  find("verdict").className = answer.verdict.replaceAll(" ", "-");
  find("estimate").hidden = !estimate;
  if (estimate) showEstimate(find("estimate"), estimate);
  const placed = places.filter((place) => place.east !== null || place.latitude !== null);
  find("where").hidden = placed.length === 0;
  if (placed.length) showMap(places, sent, focusPlace);
  focusPlace(places[0].row, { scroll: false });
  if (matchMedia("(max-width: 900px)").matches) status.scrollIntoView({ block: "start" });
}

function showEstimate(line, estimate) {
  line.textContent = "Taken at about ";
  position(line, estimate);
  const images = estimate.images === 1 ? "one image" : `${estimate.images} images that agree`;
  line.append(`, by ${images}${estimate.spread === null ? "" : `, spread ${estimate.spread.toFixed(0)} m`}.`);
}

function taken(files) {
  if (files && files.length) localize(files[0]);
}

for (const [button, input] of [["choose", "file"], ["take", "camera"]]) {
  find(button).addEventListener("click", () => find(input).click());
  find(input).addEventListener("change", (event) => { taken([...event.target.files]); event.target.value = ""; });
}
drop.addEventListener("click", () => find("file").click());
find("again").addEventListener("click", () => photo && localize(photo));
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
  find("about").textContent =
    `${found.images.toLocaleString("en")} geo-tagged photos of ${found.index || "an index"}, network ${found.network || found.network_id.slice(0, 12)}`;
}).catch(complain);
