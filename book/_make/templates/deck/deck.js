// Starts the slides once their formulas are set. On a phone, or without scripts, a deck is a page to scroll through.
"use strict";

(() => {
  const asked = /print-pdf|receiver/i.test(location.search); // for paper, or by the speaker's window
  const slides = asked || !window.matchMedia("(max-width: 700px)").matches;
  document.documentElement.classList.add(slides ? "deck" : "page", "setting");

  // Text as large as its slide lets it be, between two bounds: what a run says may be shorter or longer than today.
  function fit(slide) {
    const figure = slide.querySelector("figure");
    const parts = [...slide.querySelectorAll(":scope > :not(aside, figure)")];
    const floor = slide.getBoundingClientRect().top + 720 - 58;
    for (let size = figure ? 25 : 33; size >= 17; size -= 0.5) {
      slide.style.fontSize = `${size}px`;
      if (parts.every((part) => part.getBoundingClientRect().bottom <= floor)) return;
    }
  }

  function start() {
    if (slides) document.querySelectorAll(".slides > section > section").forEach(fit);
    document.documentElement.classList.remove("setting");
    if (!slides) {
      // What is wider than a phone scrolls in its own box, with keys, too.
      for (const box of document.querySelectorAll("pre, .shown")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      return;
    }
    Reveal.initialize({
      width: 1280,
      height: 720,
      margin: 0,
      center: false,
      hash: true,
      slideNumber: "c/t",
      transition: "none",
      backgroundTransition: "none",
      pdfMaxPagesPerSlide: 1,
      pdfSeparateFragments: false,
      plugins: [RevealNotes],
    }).then(() => {
      // Speaker notes without a second window, which some browsers refuse to files from a disk.
      Reveal.addKeyBinding({ keyCode: 84, key: "T", description: "Text of the chapter beside the slide" }, () => {
        Reveal.configure({ showNotes: !Reveal.getConfig().showNotes });
        Reveal.layout();
      });
    });
  }

  window.MathJax = {
    tex: { inlineMath: [["$", "$"], ["\\(", "\\)"]] },
    options: { enableMenu: false },
    startup: { pageReady: () => MathJax.startup.defaultPageReady().then(start) },
  };

  if (slides) {
    // Before our own sheet, which changes what this one says.
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = "assets/reveal/reveal.css";
    document.head.insertBefore(sheet, document.head.querySelector("link[rel=stylesheet]"));
  }
})();
