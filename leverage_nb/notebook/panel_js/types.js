// The browser side of the leverage panel. The kernel sends a table with one row per leverage, with texts ready to show;
// the browser only selects a row, so everything follows the slider while the kernel is busy.
//
// One function derives what is shown from the model and from what this view alone knows, and one function per part
// shows it.
//
// These files are one module: panel_traits.py joins them in its order.

/**
 * One leverage of the table.
 * @typedef {object} Row
 * @property {number} cap Max notional.
 * @property {string} capText The same as text.
 * @property {"unchanged" | "ok" | "mind" | "unpredictable" | "refused" | "forbidden"} verdict
 * @property {string} title The verdict in words.
 * @property {string} detail Its certainty, or what to do next.
 * @property {number} nearest The nearest leverage that fits; 0 for none.
 * @property {[string, string, string][]} figures For each figure of the table: its value, a note, the note's tone.
 */

/**
 * A time: seconds since the epoch, the time of day, and the whole moment as text.
 * @typedef {{epoch: number, time: string, moment: string}} Time
 */

/**
 * One side of the position; two in hedge mode.
 * @typedef {object} Side
 * @property {string} side
 * @property {string} tone
 * @property {[string, string, string][]} fields
 * @property {"BOTH" | "LONG" | "SHORT"} positionSide
 * @property {boolean} isolated
 */

/**
 * Everything shown of one symbol.
 * @typedef {object} Table
 * @property {number} version
 * @property {string} symbol
 * @property {string} venue
 * @property {string} badge HTML.
 * @property {boolean} realMoney
 * @property {string} account
 * @property {string} asset
 * @property {string} base
 * @property {string} marginType
 * @property {string} modes The position mode and the multi-assets mode of the account.
 * @property {string} notTrading The symbol's status if it is not traded; "" if it is.
 * @property {string} mark
 * @property {Time | null} asOf When the account was read.
 * @property {Time | null} leverageAsOf When the leverage was changed or read, if that was later.
 * @property {{text: string, lifted: boolean} | null} guard
 * @property {number} current 0 if the leverage is not set.
 * @property {string} before
 * @property {number} start The leverage to return to.
 * @property {Side[]} position
 * @property {string} orders
 * @property {number} exposure
 * @property {string} exposureText
 * @property {{name: string, help: string, now: string}[]} figures
 * @property {{name: string, help: string, value: string}[]} fixed
 * @property {Row[]} rows From 1x.
 * @property {{from: number, to: number, label: string}[]} regions
 * @property {number[]} edges The leverage of each tier, ascending.
 * @property {string[][]} tiers
 */

/**
 * A new position of the size that was typed, at every leverage.
 * @typedef {object} NewPosition
 * @property {string} symbol
 * @property {string} text
 * @property {string} unit
 * @property {string} size
 * @property {number[]} notional
 * @property {[string, string, string, string][]} rows Margin, why it is not affordable, liquidation long and short.
 * @property {number} lowest The lowest leverage that affords it; 0 for none.
 * @property {string} advice
 * @property {string} stop The price of the stop as typed; "" for none. Without a size there is only this, and the symbol.
 * @property {string} buffer The share of the stop's price between it and liquidation, at least.
 * @property {number} highest The highest leverage that keeps liquidation beyond the stop; 0 for none.
 * @property {string} stopAdvice
 */

/**
 * What this view alone knows.
 * @typedef {object} Ui
 * @property {string | null} typed Text in the leverage field that is being edited.
 * @property {string | null} search Text in the symbol field that is being edited.
 * @property {number} active The highlighted match.
 * @property {string} searchError
 * @property {string} lost Why the kernel cannot be reached; "" if it can.
 * @property {boolean} gone Whether it cannot come back.
 * @property {boolean} answered Whether the kernel has answered this view: a saved or exported page has no kernel.
 * @property {string} noAnswer What to say while it has not; "" at first.
 * @property {number} clicks The number of the last click.
 * @property {string} asked What the last click asks for.
 * @property {boolean} blocks Whether nothing else can be changed before the last click is handled.
 * @property {string} messageBefore The message at the last click.
 * @property {number} since When the question of a confirmation was shown.
 * @property {boolean} copied
 * @property {string | null} size Text in the size field that is being edited.
 * @property {string | null} stop Text in the stop field that is being edited.
 * @property {number} width Width of the chart.
 * @property {number} tall Height of its plot: less in one column, so that chart and decision fit on a screen.
 * @property {number} saidAt The leverage at which the message was shown.
 */

/**
 * What the listeners of each part need.
 * @typedef {object} View
 * @property {any} model
 * @property {Ui} ui
 * @property {Record<string, any>} parts The elements.
 * @property {() => ReturnType<deriveState>} state
 * @property {(changes: Partial<Ui>, show?: () => void) => void} update Change what this view knows, and show it.
 * @property {() => void} follow Show what depends on the leverage.
 * @property {(leverage: number) => void} choose
 * @property {(kind: string, asked: string, more?: object) => void} click Send a click to the kernel.
 */
