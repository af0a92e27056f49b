// The assets are joined in the order of their names into one script: this file opens the
// function around them, 99_close.js closes it, so that nothing but window.stabilitysweep is global.
(() => {
"use strict";
