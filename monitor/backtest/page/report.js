// The reading under the pointer. Without this script the report is whole; hovering just says nothing.
for (const chart of document.querySelectorAll("svg.chart")) {
  const out = chart.querySelector(".reading");
  const cross = chart.querySelector(".cross");
  const rows = out.dataset.rows.split("|").filter(Boolean).map((row) => {
    const at = row.indexOf(":");
    return [Number(row.slice(0, at)), row.slice(at + 1)];
  });
  const { start, end, left } = out.dataset;
  const right = Number(out.getAttribute("x"));
  const time = (x) => new Date(Number(start) + ((x - left) / (right - left)) * (end - start));
  const hide = () => { cross.setAttribute("hidden", ""); out.textContent = ""; };
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("pointermove", (event) => {
    if (!rows.length) return;
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
    let best = rows[0];
    for (const row of rows) if (Math.abs(row[0] - x) < Math.abs(best[0] - x)) best = row;
    cross.removeAttribute("hidden");
    cross.setAttribute("transform", `translate(${best[0]} 0)`);
    out.textContent = `${time(best[0]).toISOString().slice(5, 19).replace("T", " ")} UTC · ${best[1]}`;
  });
}
