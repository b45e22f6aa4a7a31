(() => {
  "use strict";

  const container = document.getElementById("redoc-container");
  Redoc.init(container.dataset.schema, {}, container);
})();
