// The data: embedded in a report, or fetched and followed.

const LOST = "Connection lost: hig watch does not answer. The page shows what it has and tries again.";
const notice = byId("notice");
const pulse = h("p", { class: "pulse", hidden: true });
byId("head").append(pulse);

function say(words, kind = "") {
  notice.hidden = !words;
  notice.className = `notice ${kind}`;
  if (notice.textContent !== words) notice.textContent = words;
}

function follow() {
  let last = null;
  let lost = false;
  let asking = false;
  const tell = () => {
    pulse.hidden = last === null;
    if (last === null) return;
    const seconds = Math.round((Date.now() - last) / 1e3);
    const working = model?.curves.some((c) => c.state === "running");
    pulse.classList.toggle("beating", !lost && Boolean(working));
    pulse.textContent = seconds < 2 ? "last update just now" : `last update ${duration(seconds)} ago`;
  };
  setInterval(tell, 1000);
  const take = (data) => {
    held = data;
    last = Date.now();
    refresh();
    tell();
  };
  /** Everything, at the start and after a gap. */
  const fetchAll = async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch("data", { cache: "no-store" });
      if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
      take(await answer.json());
      lost = false;
      say("");
    } catch (error) {
      lost = true;
      say(LOST, "lost");
      setTimeout(fetchAll, 2000);
    } finally {
      asking = false;
    }
  };
  const connect = () => {
    const events = new EventSource("events");
    events.addEventListener("data", (event) => {
      try {
        take(mergeData(held, JSON.parse(event.data)));
      } catch (error) {
        console.error(error);
      }
    });
    events.onopen = () => { if (lost) fetchAll(); };
    events.onerror = () => {
      lost = true;
      say(LOST, "lost");
      // After some errors a browser gives up for good.
      if (events.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
    };
  };
  connect();
  fetchAll();
}

function begin() {
  let data = null;
  try {
    data = JSON.parse(byId("data").textContent);
  } catch (error) {
    say("The data in this page cannot be read; it may have been cut off.", "lost");
    console.error(error);
  }
  held = data;
  refresh();
  if (data === null && location.protocol.startsWith("http")) follow();
}

begin();
