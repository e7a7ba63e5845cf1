// Draws the list of results. Text reaches the page as text nodes only, never as markup.

const LOW_STOCK = 5;
const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Replaces the list; items of products that were shown before and look different now are lit up for a moment. */
export function drawResults(list, hits, { isSameSearch }) {
  const before = new Map([...list.children].map((item) => [item.dataset.id, item]));
  list.replaceChildren(
    ...hits.map((hit) => {
      const known = before.get(hit.id);
      const look = JSON.stringify(hit);
      if (known?.dataset.look === look) {
        return known;
      }
      const item = itemOf(hit);
      item.dataset.look = look;
      if (isSameSearch) {
        item.classList.add("changed");
        showPriceMove(item, known?.dataset.price, hit.price);
      }
      return item;
    }),
  );
}

function itemOf(hit) {
  const item = element("li", "result");
  item.dataset.id = hit.id;
  item.dataset.price = hit.price ?? "";
  const text = element("div", "result-text");
  const kind = element("p", "result-kind");
  kind.append(marked("span", "result-brand", hit.brand), marked("span", "result-category", hit.category));
  text.append(
    hit.name.length > 0 ? marked("h2", "result-name", hit.name) : element("h2", "result-name", "Without a name"),
    kind,
  );
  if (hit.snippet.length > 0) {
    text.append(marked("p", "result-snippet", hit.snippet));
  }
  const offer = element("div", "result-offer");
  offer.append(element("p", "price", hit.price === null ? "–" : price(hit.price)), stock(hit.stock));
  item.append(text, offer);
  return item;
}

function showPriceMove(item, before, now) {
  if (!before || now === null || Number(before) === Number(now)) {
    return;
  }
  const isUp = Number(now) > Number(before);
  const move = element("span", isUp ? "move up" : "move down", isUp ? "▲" : "▼");
  move.title = `was ${price(before)}`;
  move.ariaHidden = "true";
  item.querySelector(".price").prepend(move, element("span", "hidden", isUp ? "went up to " : "went down to "));
}

function stock(count) {
  if (count === null) {
    return element("p", "stock", "Stock unknown");
  }
  if (count <= 0) {
    return element("p", "stock none", "Out of stock");
  }
  return element(
    "p",
    count <= LOW_STOCK ? "stock low" : "stock",
    count <= LOW_STOCK ? `Only ${count} left` : `${count} in stock`,
  );
}

const price = (text) => (Number.isFinite(Number(text)) ? money.format(Number(text)) : text);

/** Pieces of text, matches in <mark>. */
function marked(tag, className, pieces) {
  const parent = element(tag, className);
  for (const [text, isMatch] of pieces) {
    parent.append(isMatch ? element("mark", "", text) : text);
  }
  return parent;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className !== "") {
    made.className = className;
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}
