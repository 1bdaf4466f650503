// The emergency stop on every page. It acts when it is pressed, not when it is let go.

const SHOWN_MS = 8000;

function stopButton() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "stop-button";
  button.textContent = "STOP";
  button.title = "Emergency stop: the arm stays stopped until arm/reset is called";
  const answer = document.createElement("span");
  answer.className = "stop-answer";
  answer.setAttribute("role", "alert");
  button.append(answer);
  const show = (text) => {
    answer.textContent = text;
    setTimeout(() => answer.textContent === text && (answer.textContent = ""), SHOWN_MS);
  };
  const stop = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    show("stopping");
    try {
      const response = await fetch("/api/stop", { method: "POST" });
      if (!response.ok) throw new Error(`${response.status}`);
      show((await response.json()).text);
    } catch (error) {
      show(`NOT stopped (${error.message}): use the arm's hardware stop`);
    }
  };
  button.addEventListener("pointerdown", stop);
  // Enter and space on the focused button; a pointer's click has a detail above 0.
  button.addEventListener("click", (event) => event.detail === 0 && stop(event));
  return button;
}

document.body.append(stopButton());
// In an immersive session a phone shows this element only.
document.getElementById("overlay")?.append(stopButton());
