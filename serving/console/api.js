/* The public API. The key is in this tab's session storage and in the header of each request, nowhere else. */

const STORED = "aisle-console-key";
const SILENT_MS = 15_000;

/** Any answer that is not a success, in the service's own words. */
export class Problem extends Error {
  constructor(status, { error, message, remedy }, retryAfter) {
    super(message);
    Object.assign(this, { status, error, remedy, retryAfter });
  }
}

export const key = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => sessionStorage.setItem(STORED, value),
  forget: () => sessionStorage.removeItem(STORED),
};

export const get = (path, params = {}) => ask(`${path}${query(params)}`);
export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function query(params) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function ask(path, { headers = {}, ...rest } = {}) {
  let answer;
  try {
    answer = await fetch(`api/v1/${path}`, {
      ...rest,
      headers: { ...headers, Authorization: `Bearer ${key.get()}` },
      signal: AbortSignal.timeout(SILENT_MS),
    });
  } catch (error) {
    const message = error.name === "TimeoutError" ? `The service was silent for ${SILENT_MS / 1000} s.` : "The service does not answer.";
    throw new Problem(0, { error: "away", message, remedy: "Is it running? Its address is this page's." });
  }
  const body = await answer.json().catch(() => ({ error: "unreadable", message: `The service answered ${answer.status} without a reason.`, remedy: "" }));
  if (!answer.ok) throw new Problem(answer.status, body, Number(answer.headers.get("Retry-After")) || null);
  return body;
}

/** What was shown is written down right after it went out: a question about it may be a moment too early. */
export async function getWhenWritten(path, params = {}, tries = 8) {
  for (let left = tries; ; left -= 1) {
    try {
      return await get(path, params);
    } catch (problem) {
      if (problem.error !== "unknown_request" || left <= 1) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  }
}
