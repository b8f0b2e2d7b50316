// A click on a heading sorts its table; unknown values stay at the end.
for (const table of document.querySelectorAll('table.sortable')) {
  table.querySelectorAll('th').forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement('button');
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
      table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down === 1 ? 'ascending' : 'descending');
      const body = table.tBodies[0];
      const compare = (a, b) => {
        const [x, y] = [a, b].map(row => row.cells[column]);
        const [p, q] = [x, y].map(cell => cell.dataset.key);
        if (p === undefined) return down * x.textContent.localeCompare(y.textContent);
        if (p === '' || q === '') return (p === '') - (q === '');
        return down * (Number(p) - Number(q));
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
