// Runs again in the same window each time ajax-form.js replaces the page, so nothing is left in the global scope.
(() => {
  "use strict";

  for (const section of document.querySelectorAll("[data-tabs]")) {
    const tabs = [...section.querySelectorAll("[role=tab]")];
    for (const tab of tabs) {
      tab.addEventListener("click", () => {
        for (const other of tabs) {
          const chosen = other === tab;
          other.setAttribute("aria-selected", String(chosen));
          document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
        }
      });
    }
  }

  for (const button of document.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
  }
  for (const button of document.querySelectorAll("[data-closes]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.closes).close());
  }

  // Signing in again in another window gives a new token, and forms that are open already go on with it.
  document.addEventListener("submit", (event) => {
    const token = getCookie(window.drf.csrfCookieName);
    if (token) {
      window.csrftoken = token;
      for (const input of event.target.querySelectorAll("[name=csrfmiddlewaretoken]")) {
        input.value = token;
      }
    }
  }, { capture: true });

  // A parameter without a value is not the same as none.
  const given = (form) => [...new FormData(form)].filter(([, value]) => value !== "");

  for (const form of document.querySelectorAll("form[data-leaves-out-empty]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const query = new URLSearchParams(given(form)).toString();
      window.location.href = form.getAttribute("action") + (query ? "?" + query : "");
    });
  }

  // Bodies of DELETE are dropped by some proxies: its parameters travel in the address.
  for (const form of document.querySelectorAll("form[data-to-query]")) {
    form.addEventListener("submit", () => {
      const address = new URL(form.getAttribute("action"), window.location.href);
      for (const [name, value] of given(form)) {
        address.searchParams.set(name, value);
      }
      for (const element of form.querySelectorAll("[name]")) {
        element.disabled = true;
      }
      form.setAttribute("action", address.pathname + address.search);
    }, { capture: true });
  }
})();
