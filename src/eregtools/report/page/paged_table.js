// A table of many rows: sorted by a column, a page at a time.

class PagedTable {
  constructor(root, { caption, perPage, noun }) {
    this.perPage = perPage;
    this.noun = noun;
    this.page = 0;
    this.rows = [];
    this.sorting = null;
    this.current = () => false;
    this.head = el("tr");
    this.body = el("tbody");
    const table = el("table", { class: "data", "aria-label": caption }, el("thead", {}, this.head), this.body);
    this.told = el("output", { "aria-live": "polite" });
    this.back = el("button", { type: "button", "aria-label": `Previous page of ${noun}` }, "Previous");
    this.on = el("button", { type: "button", "aria-label": `Next page of ${noun}` }, "Next");
    this.back.addEventListener("click", () => this.turn(-1));
    this.on.addEventListener("click", () => this.turn(1));
    root.append(
      el("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 }, table),
      el("div", { class: "pager" }, this.told, this.back, this.on),
    );
  }

  setColumns(columns) {
    this.columns = columns;
    this.sorting = this.sorting && columns.some((column) => column.name === this.sorting.name) ? this.sorting : null;
    this.head.replaceChildren(
      ...columns.map((column) => {
        const button = el("button", { type: "button" }, column.name);
        button.addEventListener("click", () => this.sortBy(column));
        const unit = column.unit ? el("span", { class: "unit" }, column.unit) : null;
        return el("th", { scope: "col", class: column.number ? "number" : null }, button, unit);
      }),
    );
  }

  setRows(rows) {
    this.rows = rows;
    this.page = 0;
    this.order();
    this.draw();
  }

  // Numbers begin with the largest (q-values with the least), names with the first; a second click turns the order around.
  sortBy(column) {
    const same = this.sorting && this.sorting.name === column.name;
    this.sorting = { name: column.name, falling: same ? !this.sorting.falling : Boolean(column.number) && !column.rising };
    this.page = 0;
    this.order();
    this.draw();
  }

  order() {
    for (const [at, cell] of [...this.head.children].entries()) {
      const own = this.sorting && this.columns[at].name === this.sorting.name;
      if (own) cell.setAttribute("aria-sort", this.sorting.falling ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    this.sorted = this.rows;
    if (!this.sorting) return;
    const column = this.columns.find((one) => one.name === this.sorting.name);
    const sign = this.sorting.falling ? -1 : 1;
    const named = new Intl.Collator("en", { numeric: true });
    const compared = column.number ? (a, b) => a - b : (a, b) => named.compare(a, b);
    const valued = this.rows.map((row) => [row, column.value(row)]);
    const known = valued.filter(([, value]) => value !== null && value !== undefined);
    const unknown = valued.filter(([, value]) => value === null || value === undefined);
    known.sort((a, b) => sign * compared(a[1], b[1]));
    this.sorted = [...known, ...unknown].map(([row]) => row);
  }

  turn(by) {
    this.page += by;
    this.draw();
  }

  draw() {
    const pages = Math.max(1, Math.ceil(this.sorted.length / this.perPage));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const from = this.page * this.perPage;
    const shown = this.sorted.slice(from, from + this.perPage);
    this.body.replaceChildren(...shown.map((row) => this.line(row)));
    this.told.textContent = this.sorted.length
      ? `${whole(from + 1)}–${whole(from + shown.length)} of ${whole(this.sorted.length)} ${this.noun}`
      : `No ${this.noun} found`;
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === pages - 1;
    this.back.hidden = this.on.hidden = pages === 1;
  }

  line(row) {
    const cells = this.columns.map((column) => {
      const content = column.node ? column.node(row) : column.number ? written(column.value(row)) : column.value(row);
      return el("td", { class: column.number ? "number" : null }, content);
    });
    return el("tr", { "data-row": row, "aria-current": this.current(row) ? "true" : null }, ...cells);
  }

  mark() {
    for (const line of this.body.children) {
      if (this.current(Number(line.dataset.row))) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
  }

  // Turn to the page that holds a row.
  reveal(row) {
    const at = this.sorted.indexOf(row);
    if (at < 0) return;
    const page = Math.floor(at / this.perPage);
    if (page === this.page) return;
    this.page = page;
    this.draw();
  }
}
