/** Hands the token over and loads the dashboard. */

const form = document.querySelector("#login");
const error = document.querySelector("#error");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  error.textContent = "";
  try {
    const response = await fetch("/ops/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: form.elements.token.value }),
    });
    if (response.ok) return location.reload();
    const problem = await response.json().catch(() => ({}));
    error.textContent = problem.detail ?? `The server answered with error ${response.status}.`;
  } catch {
    error.textContent = "The server cannot be reached.";
  }
});
