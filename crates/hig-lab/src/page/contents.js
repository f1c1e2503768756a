// The list of sections, with the one that is being read.

{
  const sections = [...document.querySelectorAll("main > section")];
  const links = new Map(sections.map((section) => {
    const link = h("a", { href: `#${section.id}` }, section.querySelector("h2").textContent);
    return [section, link];
  }));
  byId("contents").append(...links.values());
  const seen = new Set();
  const spy = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) seen.add(target);
      else seen.delete(target);
    }
    const current = sections.find((s) => seen.has(s));
    for (const [section, link] of links) {
      if (section === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-15% 0px -60% 0px" });
  for (const section of sections) spy.observe(section);
  panels.push((model) => {
    for (const [section, link] of links) link.hidden = section.hidden;
    const warnings = gatherWarnings(model).length;
    links.get(byId("warnings")).textContent = `Warnings (${warnings})`;
  });
}
