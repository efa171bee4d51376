// The contrast (WCAG 2) of every visible text below `root`, as painted: colours of any notation, opacities of all groups.
(root) => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });

  function parse(css) {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = "#000";
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  }

  const mix = (below, above, share) => below.map((value, place) => value + (above[place] - value) * share);
  const over = ([r, g, b, a], below) => mix(below, [r, g, b], a);

  function paint(path, text) {
    const step = (place, backdrop) => {
      const style = getComputedStyle(path[place]);
      let inner = over(parse(style.backgroundColor), backdrop);
      if (place + 1 < path.length) inner = step(place + 1, inner);
      else if (text) inner = over(parse(text), inner);
      return mix(backdrop, inner, Number(style.opacity));
    };
    return step(0, [255, 255, 255]);
  }

  function luminance(colour) {
    const [r, g, b] = colour.map(value => {
      const c = value / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function measure(node, text, colour) {
    const path = [];
    for (let at = node; at !== null; at = at.parentElement) path.unshift(at);
    const [dark, light] = [luminance(paint(path, colour)), luminance(paint(path, ""))].sort((a, b) => a - b);
    const where = node.className.baseVal ?? node.className;
    return { text: text.trim().slice(0, 60), where: `${node.tagName} ${where}`, contrast: (light + 0.05) / (dark + 0.05) };
  }

  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("style, script, title, desc, defs")) continue;
    const style = getComputedStyle(node);
    found.push(measure(node, walker.currentNode.data, node instanceof SVGElement ? style.fill : style.color));
  }
  for (const field of root.querySelectorAll("input")) {
    if (!field.checkVisibility()) continue;
    if (field.value) found.push(measure(field, field.value, getComputedStyle(field).color));
    else if (field.placeholder) found.push(measure(field, field.placeholder, getComputedStyle(field, "::placeholder").color));
  }
  return found;
}
