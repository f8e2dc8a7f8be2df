"use strict";
// Draws the lists and the trees of the page from its block of data. Text is only ever set as text, and formulas are
// built from known elements, so nothing that stands in the data can become markup.
(() => {
  const MATH = "http://www.w3.org/1998/Math/MathML", SVG = "http://www.w3.org/2000/svg", PAGE = 50;
  const FORMULA = new Set(("math mrow mi mn mo mtext mspace msqrt mtable mtr mtd mstyle mphantom mpadded menclose mfrac " +
    "msub msup munder mover mroot msubsup munderover").split(" "));
  const data = JSON.parse(document.getElementById("data").textContent);

  // --- building -------------------------------------------------------------------------------------------------
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  }
  const make = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const draw = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

  function formula([name, attributes, ...children]) {
    if (!FORMULA.has(name)) return "";
    return fill(document.createElementNS(MATH, name), attributes,
      children.map((child) => (typeof child === "string" ? child : formula(child))));
  }
  const runsOf = (number) => (typeof data.texts[number] === "string" ? [data.texts[number]] : data.texts[number]);
  const words = (run) => (typeof run === "string" ? run : run.slice(2).map(words).join(" "));
  const flat = (number) => runsOf(number).map(words).join("");
  const lower = new Map();
  function searchable(number) {
    if (!lower.has(number)) lower.set(number, flat(number).toLowerCase());
    return lower.get(number);
  }
  function text(number, extra = "") {
    const runs = runsOf(number).map((run) => (typeof run === "string" ? run : formula(run)));
    if (typeof runs.at(-1) === "string") runs.push(runs.pop().replace(/\s+$/, ""));
    if (runs.length === 1 && typeof runs[0] === "string" && !/\S\n/.test(runs[0])) runs[0] = runs[0].trimStart(); // one line
    const isEmpty = runs.every((run) => run === "");
    return make("div", { class: "text " + extra, dir: "auto" }, isEmpty ? make("span", { class: "meta" }, "(empty: the solution ends here)") : runs);
  }
  const clip = (number) => make("span", { class: "clip" }, flat(number).trim().replace(/\s+/g, " ").slice(0, 160) || "(empty)");
  const shown = (value, digits = 2) => (value === null ? "unknown" : typeof value === "number" ? value.toFixed(digits) : value);
  const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
  const heading = (label) => make("h4", {}, label);
  const sorted = (values) => [...new Set(values)].sort((a, b) => (a > b ? 1 : a < b ? -1 : 0));

  function choice(label, values, name = String) {
    const select = make("select", {}, make("option", { value: "" }, "all"), values.map((value, i) => make("option", { value: i }, name(value))));
    const box = make("label", {}, label, select);
    return { box, select, fits: (value) => select.value === "" || values[Number(select.value)] === value };
  }

  // --- a list with filters and a detail beside it -----------------------------------------------------------------
  // spec: noun, rows, choices [label, value(row), name(value)], number {low, high, value(row)}, texts(row), orders
  // {label: compare(a, b)}, item(row), detail(row)
  function browser(root, spec) {
    const choices = spec.choices
      .map(([label, value, name]) => ({ value, ...choice(label, sorted(spec.rows.map(value)), name) }))
      .filter((one) => one.select.length > 2);
    const bounds = !spec.number ? [] : [spec.number.low, spec.number.high].map((label) =>
      make("label", {}, label, make("input", { type: "number", step: "0.05", inputmode: "decimal" })));
    const search = make("input", { type: "search", autocomplete: "off" });
    const order = make("select", {}, Object.keys(spec.orders).map((label) => make("option", { value: label }, label)));
    const count = make("p", { class: "meta", role: "status" });
    const id = root.id;
    const list = make("ul", { class: "list", role: "listbox", tabindex: "0", "aria-label": spec.noun + "s" });
    const detail = make("div", { class: "detail", tabindex: "-1", role: "region", "aria-label": "The " + spec.noun + " chosen" });
    const previous = make("button", { type: "button" }, `Previous ${PAGE}`), next = make("button", { type: "button" }, `Next ${PAGE}`);
    let found = [], first = 0, chosen = 0;

    function filter() {
      const [low, high] = bounds.map((box) => box.lastChild.valueAsNumber);
      const wanted = search.value.trim().toLowerCase();
      found = spec.rows.filter((row) => choices.every((one) => one.fits(one.value(row))) &&
        (!spec.number || ((Number.isNaN(low) || spec.number.value(row) >= low) && (Number.isNaN(high) || spec.number.value(row) <= high))) &&
        (!wanted || spec.texts(row).some((number) => searchable(number).includes(wanted))));
      const compare = spec.orders[order.value];
      if (compare) found = found.slice().sort(compare);
      choose(0);
    }
    function choose(place) {
      chosen = Math.max(0, Math.min(found.length - 1, place));
      first = Math.floor(chosen / PAGE) * PAGE;
      const here = found.slice(first, first + PAGE);
      list.replaceChildren(...here.map((row, i) => {
        const item = make("li", { role: "option", id: `${id}-${i}`, "aria-selected": String(first + i === chosen) }, spec.item(row));
        item.addEventListener("click", () => choose(first + i));
        return item;
      }));
      if (found.length) list.setAttribute("aria-activedescendant", `${id}-${chosen - first}`);
      else list.removeAttribute("aria-activedescendant");
      const selected = list.children[chosen - first];
      if (selected) list.scrollTop = Math.max(0, Math.min(selected.offsetTop - list.offsetTop, list.scrollTop), selected.offsetTop - list.offsetTop + selected.offsetHeight - list.clientHeight);
      const range = found.length > PAGE ? `; ${(first + 1).toLocaleString("en")} to ${(first + here.length).toLocaleString("en")} are listed` : "";
      count.replaceChildren(`${plural(found.length, spec.noun)} of ${spec.rows.length.toLocaleString("en")} in this page${range}`);
      detail.replaceChildren(...(found.length ? spec.detail(found[chosen]).flat().filter(Boolean) : []));
      previous.disabled = first === 0;
      next.disabled = first + PAGE >= found.length;
    }
    const moves = { ArrowDown: () => chosen + 1, ArrowUp: () => chosen - 1, Home: () => 0, End: () => found.length - 1, PageDown: () => chosen + 10, PageUp: () => chosen - 10 };
    list.addEventListener("keydown", (event) => {
      if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      choose(moves[event.key]());
    });
    previous.addEventListener("click", () => choose(first - PAGE));
    next.addEventListener("click", () => choose(first + PAGE));
    for (const one of [...choices.map((one) => one.select), order]) one.addEventListener("change", filter);
    for (const one of [...bounds.map((box) => box.lastChild), search]) one.addEventListener("input", filter);
    root.replaceChildren(
      make("div", { class: "controls", role: "search", "aria-label": `Filter the ${spec.noun}s` }, choices.map((one) => one.box), bounds,
        make("label", {}, "Text", search), make("label", {}, "Order", order)),
      count,
      make("div", { class: "browser" }, make("div", {}, list, make("p", {}, previous, " ", next)), detail),
      make("p", { class: "note" }, "In the list: ", keys("↑", "↓"), "move, ", keys("Home", "End"), "jump."));
    filter();
  }
  const keys = (...names) => names.flatMap((name) => [make("kbd", {}, name), " "]);

  // --- lessons: pairs, attempts, demonstrations --------------------------------------------------------------------
  const LABELS = { pair: ["Chosen", "Rejected"], attempt: ["Attempt"], demonstration: ["To imitate"] };
  const VALUES = { pair: "margin", attempt: "reward", demonstration: "weight" };
  const SIDES = { c: "chosen", r: "rejected" };

  function verdict([template, order, said, value, status, reply]) {
    const names = [...order].map((letter) => SIDES[letter]);
    const asked = names.length === 2 ? `A = ${names[0]}, B = ${names[1]}` : names[0];
    const outcome = status === "ok" ? `verdict ${flat(said)}` + (value === null ? "" : `, ${names.length === 2 ? "P(A better)" : "value"} ${shown(value)}`)
      : status === "untold" ? "verdict not told by the judge" : `${status}: counts for nothing`;
    return make("details", { class: "verdict" },
      make("summary", {}, make("b", {}, template), `  ${asked}:  `, make("span", { class: status === "ok" ? "" : "warned" }, outcome)), text(reply));
  }
  function lessonDetail([kind, iteration, id, value, question, before, steps, status, verdicts]) {
    return [
      heading("Problem"), text(question),
      before.length ? [heading(plural(before.length, "step") + " before"), make("ol", { class: "steps" }, before.map((number) => make("li", {}, text(number))))] : null,
      heading(before.length ? `Step ${before.length + 1}` : "First step"),
      make("div", { class: "two" }, steps.map((number, i) => make("div", { class: "step" + (i ? "" : " chosen") },
        make("div", { class: "meta" }, make("b", {}, LABELS[kind][i])), text(number)))),
      make("p", { class: "meta" }, `${VALUES[kind]} ${shown(value)} · made for M${iteration} · ${flat(id)}`),
      kind === "pair" ? [heading("Verdicts of the judge on the two: " + status), verdicts.map(verdict)] : null,
    ].flat();
  }
  function lessons(root) {
    browser(root, {
      noun: "lesson", rows: data.lessons,
      choices: [["Made for", (row) => row[1], (number) => `M${number}`], ["Kind", (row) => row[0]], ["Verdicts", (row) => row[7]]],
      number: { low: "Margin or reward from", high: "to", value: (row) => row[3] },
      texts: (row) => [row[2], row[4], ...row[5], ...row[6]],
      orders: { "as made": null, "widest first": (a, b) => b[3] - a[3], "narrowest first": (a, b) => a[3] - b[3] },
      item: (row) => [clip(row[6][0]), make("span", { class: "meta" }, make("span", {}, `M${row[1]}, step ${row[5].length + 1}`), make("span", {}, `${VALUES[row[0]]} ${shown(row[3])}`))],
      detail: lessonDetail,
    });
  }

  // --- solutions that were judged step by step ----------------------------------------------------------------------
  const FOUND = (first) => (first === null ? "unknown" : first < 0 ? "no step found wrong" : `step ${first + 1} found wrong`);
  const KNOWN = (label) => (label === null ? "no label" : label < 0 ? "none is wrong" : `step ${label + 1} is wrong`);
  const AGREES = (row) => (row[5] === null ? "no label" : row[4] === null ? "judge could not say" : row[4] === row[5] ? "judge agrees with the label" : "judge disagrees with the label");
  function judged(root) {
    const lowest = (row) => Math.min(2, ...row[3].filter((step) => typeof step[1] === "number").map((step) => step[1]));
    browser(root, {
      noun: "solution", rows: data.judged,
      choices: [["Judge", (row) => (row[4] === null ? "unknown" : row[4] < 0 ? "no step found wrong" : "a step found wrong")], ["Label", AGREES]],
      number: { low: "Lowest score from", high: "to", value: lowest },
      texts: (row) => [row[1], row[2], ...row[3].map((step) => step[0])],
      orders: { "lowest score first": (a, b) => lowest(a) - lowest(b), "as in the file": (a, b) => a[0] - b[0] },
      item: (row) => [clip(row[2]), make("span", { class: "meta" }, make("span", {}, FOUND(row[4])), make("span", {}, `lowest ${lowest(row) > 1 ? "-" : shown(lowest(row))}`))],
      detail: (row) => [
        heading("Problem"), text(row[2]),
        heading(`Judge: ${FOUND(row[4])}` + (row[5] === null ? "" : `. Label: ${KNOWN(row[5])}`)),
        row[3].map(([step, value, reason], i) => make("div", { class: "step" + (i === row[4] ? "" : " chosen") },
          make("div", { class: "meta" }, make("b", { class: i === row[4] ? "warned" : "" }, `${i + 1}`), ` score ${shown(value)}`, i === row[5] ? make("b", { class: "warned" }, "  first wrong step by the label") : null),
          text(step), reason === null ? null : make("details", { class: "verdict" }, make("summary", {}, "what the judge said"), text(reason)))),
        make("p", { class: "meta" }, `solution ${row[0]} · ${flat(row[1])}`),
      ].flat(),
    });
  }

  // --- solutions of an evaluation ------------------------------------------------------------------------------------
  function samples(root) {
    browser(root, {
      noun: "problem", rows: data.samples,
      choices: [["Evaluation", (row) => row[0]], ["Result", (row) => row[5]], ["Second extractor", (row) => row[6]]],
      texts: (row) => [row[1], row[2], ...row[4].map((one) => one[0])],
      orders: { "as in the benchmark": null },
      item: (row) => [clip(row[2]), make("span", { class: "meta" }, make("span", {}, row[5]), make("span", {}, row[0]))],
      detail: (row) => [
        heading("Problem"), text(row[2]), heading("Reference answer"), row[3] === null ? make("p", {}, "none") : text(row[3]),
        row[4].map(([solution, extracted, grade, value, second, chosen]) => [
          heading(`Solution: ${grade}` + (value === null ? "" : `, judge's score ${shown(value)}`) + (chosen && row[4].length > 1 ? ", chosen" : "")),
          make("div", { class: "step" + (grade === "correct" ? " chosen" : "") }, text(solution)),
          make("p", { class: "meta" }, "answer found: ", extracted === null ? "none" : flat(extracted),
            second === null ? "" : make("b", { class: "warned" }, `  second extractor: ${second[0] === null ? "none" : flat(second[0])}, ${second[1]}`)),
        ]),
        make("p", { class: "meta" }, flat(row[1])),
      ].flat(2),
    });
  }

  // --- trees ---------------------------------------------------------------------------------------------------------
  const [ITERATION, NAME, QUESTION, ANSWER, EXPANSIONS, SOLUTIONS, DROPPED, GIVEN_UP] = [0, 1, 2, 3, 4, 5, 6, 7];
  const key = (place) => (place ? place.join() : "");
  const ending = (tree) => (tree[GIVEN_UP] !== null ? "given up" : tree[DROPPED].length ? "with roll-backs" : "solved");

  function pathTo(tree, end) {
    const places = [];
    for (let at = end; at; at = tree[EXPANSIONS][at[0]][0]) places.unshift(at);
    return places;
  }
  function mainPath(tree) {
    if (tree[SOLUTIONS].length) return pathTo(tree, tree[SOLUTIONS][0]);
    const alive = tree[EXPANSIONS].map((_, number) => number).filter((number) => !tree[DROPPED].includes(number));
    if (!alive.length) return [];
    const last = alive.at(-1), [parent, , kept] = tree[EXPANSIONS][last];
    return pathTo(tree, kept.length ? [last, kept[0]] : parent);
  }
  // The distinct candidates of an expansion: of equal ones that on the path, the kept one or the first, and how many.
  function distinct(tree, number, onPath) {
    const [, drawn, kept] = tree[EXPANSIONS][number], groups = new Map();
    drawn.forEach((candidate, i) => groups.set(candidate[0], [...(groups.get(candidate[0]) || []), i]));
    return [...groups.values()].map((same) => ({
      i: same.find((one) => onPath.has(key([number, one]))) ?? same.find((one) => kept.includes(one)) ?? same[0],
      times: same.length,
    }));
  }
  function bar(value) {
    const inner = make("i");
    inner.style.width = `${100 * value}%`;
    return make("span", { class: "bar", "aria-hidden": "true" }, inner);
  }
  function scored(value, worth) {
    if (typeof value !== "number") return make("span", { class: "score bare" }, value);
    const label = value.toFixed(2) + (worth === undefined ? "" : ` (worth ${worth.toFixed(2)})`);
    return make("span", { class: "score" }, bar(value), label);
  }
  function treeList(tree) {
    const path = mainPath(tree), onPath = new Set(path.map(key)), following = new Map();
    tree[EXPANSIONS].forEach(([parent], number) => following.set(key(parent), [...(following.get(key(parent)) || []), number]));
    function node(mark, kind, place, level, inner, times) {
      const [number, score, stop, worth] = tree[EXPANSIONS][place[0]][1][place[1]];
      const isAlone = typeof score !== "number" && distinct(tree, place[0], onPath).length === 1;
      const notes = [times > 1 ? `drawn ${times} times` : "", isAlone ? "not judged: no other candidate" : "", kind.includes("gone") ? "rolled back" : "", stop && !["eos", "answer"].includes(stop) ? `ended: ${stop}` : ""].filter(Boolean).join(", ");
      const row = make("div", { class: "node-row" }, make("span", { class: "mark" }, mark),
        make("div", {}, text(number, level > 1 ? "clamped" : ""), notes ? make("div", { class: "meta" }, notes) : null), scored(isAlone ? "" : score, worth));
      return make("li", { role: "treeitem", tabindex: "-1", class: kind, "data-place": key(place), "aria-level": level, "aria-expanded": inner.length ? "true" : null },
        row, inner.length ? make("ul", { role: "group" }, inner) : null);
    }
    function candidates(number, level) {
      const [, drawn, kept] = tree[EXPANSIONS][number], isGone = tree[DROPPED].includes(number);
      const value = ({ i }) => (typeof drawn[i][1] === "number" ? drawn[i][1] : -1);
      return distinct(tree, number, onPath)
        .filter(({ i }) => !onPath.has(key([number, i])))
        .sort((a, b) => value(b) - value(a))
        .map(({ i, times }) => {
          const inner = (following.get(key([number, i])) || []).flatMap((next) => candidates(next, level + 1));
          return node(kept.includes(i) ? "kept" : "", (kept.includes(i) ? "kept" : "rejected") + (isGone ? " gone" : ""), [number, i], level, inner, times);
        });
    }
    const items = path.map((place, i) => {
      const again = following.get(key(tree[EXPANSIONS][place[0]][0])).filter((number) => number !== place[0]);
      const times = distinct(tree, place[0], onPath).find((one) => one.i === place[1]).times;
      return node(String(i + 1), "path", place, 1, [place[0], ...again].flatMap((number) => candidates(number, 2)), times);
    });
    const open = (following.get(key(path.at(-1))) || []).filter((number) => !path.some((place) => place[0] === number));
    for (const number of open) items.push(...candidates(number, 1));
    return { items, onPath };
  }
  function picture(tree, onPath, zoom) {
    const top = 40, high = 170 * zoom, wide = 64 * zoom, left = 44, depths = [], places = new Map();
    const nodes = [], edges = [];
    tree[EXPANSIONS].forEach(([parent, drawn], number) => {
      const depth = parent ? depths[parent[0]] + 1 : 0, isGone = tree[DROPPED].includes(number);
      depths.push(depth);
      const shownOnes = distinct(tree, number, onPath);
      shownOnes.forEach(({ i }, turn) => {
        const score = drawn[i][1];
        const x = left + (depth + 0.5) * wide + (turn - (shownOnes.length - 1) / 2) * Math.min(8, wide / (shownOnes.length + 2));
        const y = typeof score === "number" ? top + (1 - score) * high : 14;
        const isPath = onPath.has(key([number, i]));
        places.set(key([number, i]), [x, y]);
        const from = parent ? places.get(key(parent)) : [left, top + high / 2];
        const style = (isPath ? " path" : "") + (isGone ? " dropped" : "");
        edges.push([isPath, draw("path", { class: "edge" + style, d: `M${from[0]} ${from[1]} C${from[0] + wide / 2} ${from[1]} ${x - wide / 2} ${y} ${x} ${y}` })]);
        nodes.push([isPath, draw("circle", { class: "node" + style, cx: x, cy: y, r: isPath ? 5 : 4, "data-place": key([number, i]) },
          draw("title", {}, `step ${depth + 1}, score ${shown(score)}`))]);
      });
    });
    const width = left + (Math.max(0, ...depths) + 1) * wide + 20, height = top + high + 30;
    const rules = [1, 0.5, 0].map((value) => [draw("line", { class: "rule", x1: left - 10, x2: width, y1: top + (1 - value) * high, y2: top + (1 - value) * high }),
      draw("text", { x: 2, y: top + (1 - value) * high + 4 }, value.toFixed(1))]);
    const steps = [...new Set(depths)].map((depth) => draw("text", { x: left + (depth + 0.5) * wide, y: height - 4, "text-anchor": "middle" }, String(depth + 1)));
    const unread = nodes.some(([, node]) => Number(node.getAttribute("cy")) < top) ? draw("text", { x: 2, y: 18 }, "none") : null;
    const inOrder = (drawn) => drawn.sort((a, b) => a[0] - b[0]).map(([, element]) => element);
    return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, rules.flat(), inOrder(edges), inOrder(nodes), steps, unread);
  }
  function trees(root) {
    const iterations = choice("Made for", sorted(data.trees.map((tree) => tree[ITERATION])), (number) => `M${number}`);
    const endings = choice("Search", sorted(data.trees.map(ending)));
    const search = make("input", { type: "search", autocomplete: "off" }), problem = make("select", {});
    const button = (label, title) => make("button", { type: "button", "aria-label": title }, label);
    const previous = button("Previous", "Previous problem"), next = button("Next", "Next problem");
    const smaller = button("−", "Zoom out"), reset = button("100 %", "Zoom to 100 %"), larger = button("+", "Zoom in");
    const count = make("p", { class: "meta", role: "status" }), view = make("div", { class: "tree-view" });
    const canvas = make("div", { class: "picture", tabindex: "0", role: "region", "aria-label": "The tree as a picture" }), detail = make("div");
    let found = [], place = 0, zoom = 1, onPath = new Set();

    function filter() {
      const wanted = search.value.trim().toLowerCase();
      found = data.trees.filter((tree) => iterations.fits(tree[ITERATION]) && endings.fits(ending(tree)) && (!wanted ||
        [tree[NAME], tree[QUESTION], ...tree[EXPANSIONS].flatMap(([, drawn]) => drawn.map((one) => one[0]))].some((number) => searchable(number).includes(wanted))));
      problem.replaceChildren(...found.map((tree, i) => make("option", { value: i }, `M${tree[ITERATION]}: ${flat(tree[QUESTION]).trim().slice(0, 60)}`)));
      choose(0);
    }
    function choose(number) {
      place = Math.max(0, Math.min(found.length - 1, number));
      previous.disabled = place <= 0;
      next.disabled = place >= found.length - 1;
      count.replaceChildren(`${plural(found.length, "tree")} of ${data.trees.length.toLocaleString("en")} in this page`);
      if (!found.length) { detail.replaceChildren(); canvas.replaceChildren(); return; }
      const tree = found[place], list = treeList(tree);
      onPath = list.onPath;
      problem.value = String(place);
      const ends = tree[GIVEN_UP] !== null ? `Given up: ${tree[GIVEN_UP]}.` : `${plural(tree[SOLUTIONS].length, "solution")}.`;
      detail.replaceChildren(text(tree[QUESTION]),
        make("p", { class: "meta" }, `${flat(tree[NAME])} · ${plural(tree[EXPANSIONS].length, "expansion")}, ${plural(tree[DROPPED].length, "expansion")} rolled back. ${ends}`,
          tree[ANSWER] === null ? "" : ` Reference answer (not shown to the policy): ${flat(tree[ANSWER])}`),
        make("ul", { class: "tree", role: "tree", "aria-label": "Steps of the search" }, list.items));
      detail.querySelector('[role="treeitem"]')?.setAttribute("tabindex", "0");
      paint();
    }
    function paint() {
      if (!found.length) return;
      view.style.setProperty("--zoom", zoom);
      reset.replaceChildren(`${Math.round(100 * zoom)} %`);
      canvas.replaceChildren(picture(found[place], onPath, zoom));
    }
    function rescale(factor) {
      zoom = factor === 0 ? 1 : Math.max(0.5, Math.min(3, zoom * factor));
      paint();
    }
    function visible() {
      return [...detail.querySelectorAll('[role="treeitem"]')].filter((item) => !item.parentElement.closest('[aria-expanded="false"]'));
    }
    function focus(item) {
      if (!item) return;
      for (const one of detail.querySelectorAll('[tabindex="0"]')) one.setAttribute("tabindex", "-1");
      item.setAttribute("tabindex", "0");
      item.focus();
      for (const one of canvas.querySelectorAll(".current")) one.classList.remove("current");
      canvas.querySelector(`[data-place="${item.dataset.place}"]`)?.classList.add("current");
    }
    function open(item, state) {
      if (item.hasAttribute("aria-expanded")) {
        item.setAttribute("aria-expanded", String(state));
        item.lastElementChild.hidden = !state;
      }
    }
    function inTree(event, item) {
      const items = visible(), at = items.indexOf(item), isOpen = item.getAttribute("aria-expanded");
      const moves = {
        ArrowDown: () => focus(items[at + 1]), ArrowUp: () => focus(items[at - 1]), Home: () => focus(items[0]), End: () => focus(items.at(-1)),
        ArrowRight: () => (isOpen === "false" ? open(item, true) : isOpen === "true" ? focus(items[at + 1]) : null),
        ArrowLeft: () => (isOpen === "true" ? open(item, false) : focus(item.parentElement.closest('[role="treeitem"]'))),
        Enter: () => item.querySelector(".text").classList.toggle("clamped"),
      };
      moves[" "] = moves.Enter;
      if (!moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
    }
    detail.addEventListener("keydown", (event) => {
      const item = event.target.closest('[role="treeitem"]');
      if (item && !event.ctrlKey && !event.metaKey && !event.altKey) inTree(event, item);
    });
    detail.addEventListener("click", (event) => {
      const item = event.target.closest('[role="treeitem"]');
      if (!item || String(getSelection())) return;
      if (item === document.activeElement && event.target.closest(".node-row")) item.querySelector(".text").classList.toggle("clamped");
      focus(item);
    });
    canvas.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-place]");
      if (!chosen) return;
      const same = detail.querySelector(`[data-place="${chosen.dataset.place}"]`);
      for (let item = same; item; item = item.parentElement.closest('[role="treeitem"]')) if (item !== same) open(item, true);
      focus(same);
    });
    const letters = { "+": () => rescale(1.25), "=": () => rescale(1.25), "-": () => rescale(0.8), 0: () => rescale(0), n: () => turn(1), p: () => turn(-1) };
    function turn(by) {
      const hadFocus = detail.contains(document.activeElement);
      choose(place + by);
      if (hadFocus) focus(detail.querySelector('[role="treeitem"]'));
    }
    view.addEventListener("keydown", (event) => {
      if (letters[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); letters[event.key](); }
    });
    for (const one of [iterations.select, endings.select]) one.addEventListener("change", filter);
    search.addEventListener("input", filter);
    problem.addEventListener("change", () => choose(Number(problem.value)));
    previous.addEventListener("click", () => turn(-1));
    next.addEventListener("click", () => turn(1));
    smaller.addEventListener("click", () => rescale(0.8));
    larger.addEventListener("click", () => rescale(1.25));
    reset.addEventListener("click", () => rescale(0));
    view.append(canvas, detail);
    root.replaceChildren(
      make("div", { class: "controls", role: "search", "aria-label": "Choose a tree" },
        [iterations, endings].filter((one) => one.select.length > 2).map((one) => one.box),
        make("label", {}, "Text", search), make("label", {}, "Problem", problem), make("span", {}, previous, " ", next), make("span", {}, smaller, " ", reset, " ", larger)),
      count, view,
      make("p", { class: "note" }, "In the picture, height is the score (none: not judged, or unreadable); filled: the path that was kept; hollow: rejected; dashed: rolled back. In the tree: ",
        keys("↑", "↓"), "move, ", keys("→", "←"), "open and close, ", keys("Enter"), "the whole text, ", keys("+", "−", "0"), "zoom, ", keys("n", "p"), "next and previous problem."));
    filter();
  }

  const views = { lessons, judged, samples, trees };
  for (const [name, show] of Object.entries(views)) {
    const root = document.getElementById(`${name}-view`);
    if (root && data[name] && data[name].length) { root.hidden = false; show(root); }
  }
})();
