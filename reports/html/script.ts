/** The page's only script: filters, folding, and opening what a link or the printer needs. The page reads the same without it. */
export const SCRIPT = `
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tools = document.querySelector('.tools');
  const scenarios = all('.scenario');
  let wanted = 'all';
  const text = tools && tools.querySelector('input');
  const show = () => {
    const words = text.value.trim().toLowerCase();
    let shown = 0;
    for (const item of scenarios) {
      const fits = wanted === 'all' || item.dataset.outcome.split(' ').some((each) => wanted.split(' ').includes(each));
      item.hidden = !(fits && (words === '' || item.textContent.toLowerCase().includes(words)));
      if (!item.hidden) shown += 1;
    }
    tools.querySelector('[role=status]').textContent = shown + ' of ' + scenarios.length + ' shown';
  };
  const fold = (open) => all('.scenario > details').forEach((item) => { item.open = open; });
  const reveal = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    if (!target) return;
    all(':scope > details', target).forEach((item) => { item.open = true; });
    for (let item = target; item; item = item.parentElement) if (item.tagName === 'DETAILS') item.open = true;
    target.scrollIntoView();
  };
  if (tools) {
    tools.hidden = false;
    text.addEventListener('input', show);
    for (const button of all('button[data-show]', tools)) button.addEventListener('click', () => {
      wanted = button.dataset.show;
      all('button[data-show]', tools).forEach((each) => each.setAttribute('aria-pressed', String(each === button)));
      show();
    });
    for (const button of all('button[data-fold]', tools)) button.addEventListener('click', () => fold(button.dataset.fold === 'open'));
  }
  addEventListener('hashchange', reveal);
  reveal();
  addEventListener('beforeprint', () => fold(true));
})();
`.trim();
