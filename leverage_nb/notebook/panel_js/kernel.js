// Whether the kernel can be reached.

// How long the kernel may take for its first answer before the panel says that none came.
const NO_ANSWER_MS = 8000;
const NO_ANSWER = "The kernel has not answered yet. It may be busy. If this page was saved or exported, it has no kernel: "
  + "open the notebook in Jupyter and run the cell again.";

/**
 * Call `report(why, gone)` when the kernel cannot be reached, and `report("", false)` when it can again.
 * JupyterLab's widget manager knows its kernel; other front ends report a closed comm, or a failing send.
 */
function watchKernel(model, report) {
  const context = model.widget_manager?.context?.sessionContext;
  const kernel = model.widget_manager?.kernel;
  const ended = { restarting: "The kernel was restarted.", autorestarting: "The kernel has died.", dead: "The kernel has died.", terminating: "The kernel was shut down." };
  const onStatus = (_, status) => { if (ended[status]) report(ended[status], true); };
  const onConnection = (_, status) => {
    if (status === "connected") report("", false);
    else report("The connection to the kernel is lost.", false);
  };
  const onKernel = () => report("The kernel was shut down.", true);
  const onComm = () => report("The panel has lost its kernel.", true);
  const source = context ?? kernel;
  const pairs = [
    [source?.statusChanged, onStatus], [source?.connectionStatusChanged, onConnection], [context?.kernelChanged, onKernel],
  ].filter(([signal]) => signal !== undefined);
  for (const [signal, slot] of pairs) signal.connect(slot);
  model.on("comm_live_update", onComm);
  return () => {
    for (const [signal, slot] of pairs) signal.disconnect(slot);
    model.off("comm_live_update", onComm);
  };
}

/** Wait for the kernel's first answer, and call `report` with what to say while there is none, and with "" once there is one. */
function waitForKernel(model, report) {
  const timer = setTimeout(() => report(NO_ANSWER), NO_ANSWER_MS);
  const onMessage = content => {
    if (content?.kind !== "hello") return;
    clearTimeout(timer);
    report("");
  };
  model.on("msg:custom", onMessage);
  try {
    model.send({ kind: "hello" });
  } catch {
    report(NO_ANSWER);
  }
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", onMessage);
  };
}

/**
 * Hide the static twins of this panel while this view is shown. They stay in the saved notebook.
 * @param {string} name The twins' class. @param {Document} page
 */
function hideTwins(name, page) {
  const style = page.createElement("style");
  // The output around the twin has a prompt and a margin of its own: in JupyterLab, and in the classic notebook.
  const places = [".jp-OutputArea-child", ".output_area"].map(output => `${output}:has(.${name})`);
  style.textContent = `${[`.${name}`, ...places].join(", ")} { display: none; }`;
  page.head.append(style);
  return () => style.remove();
}
