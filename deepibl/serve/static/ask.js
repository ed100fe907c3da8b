// Asking the API. Every refusal is a Refusal: what was found, what to do, and when to ask again.

export class Refusal extends Error {
  constructor(status, body, retryAfter = "") {
    super(body.error);
    this.status = status;
    this.error = capital(body.error);
    this.whatToDo = body.what_to_do;
    this.retryAfter = Number(retryAfter) || 2;
  }
}

export function capital(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

async function fetched(path, settings) {
  let response;
  try {
    response = await fetch(path, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { error: "the page's server does not answer", what_to_do: "Is `deepibl serve` still running? Start it, and try again." });
  }
  if (response.ok) return response;
  let body;
  try {
    body = await response.json();
  } catch {
    body = { error: `the server answered ${response.status}`, what_to_do: "Try again, or look at its terminal." };
  }
  throw new Refusal(response.status, body, response.headers.get("retry-after"));
}

function posted(question, photo, fields, signal) {
  const form = new FormData();
  form.append("photo", photo, photo.name || "photo");
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return fetched(`api/${question}`, { method: "POST", body: form, signal });
}

export async function ask(question, photo, fields, signal) {
  return (await posted(question, photo, fields, signal)).json();
}

export async function picture(question, photo, fields, signal) {
  return (await posted(question, photo, fields, signal)).blob();
}

export async function health() {
  return (await fetched("api/health")).json();
}

export async function drawing(path) {
  return (await fetched(path)).text();
}
