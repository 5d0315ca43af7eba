// Play the notes of all voices together; the chart and the slider seek, boxes mute.
(() => {
  const [play, position, cursor, chart, now] = ["play", "position", "cursor", "chart", "now"].map(byId);
  const AHEAD = 2; // seconds in which notes are given to the browser before they sound
  const EVERY = 200; // milliseconds between looks ahead
  const voices = DATA.voices.map((voice) => ({ ...voice, muted: false, next: 0 })); // next: the first note that is not given yet
  let context, output, timer; // of what is playing
  let from = 0, began = 0, speed = 1; // the position at the time `began` of the context
  const playing = () => timer !== undefined;
  const time = () => Math.min(playing() ? from + Math.max(0, context.currentTime - began) * speed : from, DATA.seconds);

  // The rise and the fall of a note, with a slow decay between.
  const envelopes = {};
  function envelope(seconds) {
    const { attack, release } = DATA.tone;
    return (envelopes[seconds] ??= Float32Array.from({ length: Math.ceil(seconds * 1000) + 1 }, (_, index, last = Math.ceil(seconds * 1000)) => {
      const at = (index / last) * seconds;
      const edge = Math.max(0, Math.min(at / attack, (seconds - at) / release, 1));
      return (0.5 - 0.5 * Math.cos(Math.PI * edge)) * Math.exp((-0.5 * at) / seconds);
    }));
  }
  const waves = {};
  function wave(frequency, timbre) {
    const count = Math.min(DATA.tone.harmonics, Math.floor(19_845 / frequency));
    return (waves[`${count} ${timbre}`] ??= (() => {
      const weights = Array.from({ length: count }, (_, index) => timbre ** index);
      const sum = weights.reduce((total, weight) => total + weight, 0);
      const sines = Float32Array.from([0, ...weights.map((weight) => weight / sum)]);
      return context.createPeriodicWave(new Float32Array(count + 1), sines, { disableNormalization: true });
    })());
  }
  function sound([start, seconds, frequency, timbre, amplitude], target) {
    const at = began + (start - from) / speed;
    const tone = context.createOscillator();
    const level = context.createGain();
    tone.setPeriodicWave(wave(frequency, timbre));
    tone.frequency.value = frequency;
    level.gain.value = 0;
    level.gain.setValueCurveAtTime(envelope(seconds).map((value) => value * amplitude), at, seconds / speed);
    tone.connect(level).connect(target);
    tone.start(at);
    tone.stop(at + seconds / speed);
  }
  function lookAhead() {
    const until = time() + AHEAD * speed;
    for (const voice of voices) {
      while (voice.next < voice.notes.length && voice.notes[voice.next][0] < until) sound(voice.notes[voice.next++], voice.panner);
    }
  }
  async function start() {
    if (time() >= DATA.seconds) seek(0);
    context ??= new AudioContext();
    if (context.state === "suspended" && context.resume) await context.resume();
    if (playing()) return;
    output = context.createGain();
    output.connect(context.destination);
    for (const voice of voices) {
      voice.gain = context.createGain();
      voice.panner = context.createStereoPanner();
      voice.gain.gain.value = voice.muted ? 0 : 1;
      voice.panner.pan.value = voice.pan;
      voice.panner.connect(voice.gain).connect(output);
      const first = voice.notes.findIndex((note) => note[0] >= from - 1e-6);
      voice.next = first < 0 ? voice.notes.length : first;
    }
    began = context.currentTime;
    timer = setInterval(lookAhead, EVERY);
    lookAhead();
    follow();
  }
  function stop() {
    if (!playing()) return;
    from = time();
    clearInterval(timer);
    timer = undefined;
    const ended = output;
    ended.gain.setTargetAtTime(0, context.currentTime, 0.01); // no click
    setTimeout(() => ended.disconnect(), 200);
    draw();
  }
  const toggle = () => (playing() ? stop() : start());

  function draw() {
    const at = time();
    const x = DATA.left + (DATA.right - DATA.left) * Math.min(at / DATA.seconds, 1);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const reading = DATA.readings[Math.min(Math.floor(at / DATA.beat + 1e-6), DATA.readings.length - 1)];
    if (now.textContent !== reading) now.textContent = reading;
    if (document.activeElement !== position || playing()) position.value = at;
    position.setAttribute("aria-valuetext", reading);
    play.textContent = playing() ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(playing()));
  }
  function follow() {
    if (playing() && time() >= DATA.seconds) stop();
    draw();
    if (playing()) requestAnimationFrame(follow);
  }
  function restart(change) {
    const again = playing();
    stop();
    change();
    draw();
    if (again) start();
  }
  const seek = (seconds) => restart(() => { from = Math.max(0, Math.min(seconds, DATA.seconds)); });

  play.addEventListener("click", toggle);
  position.addEventListener("input", () => seek(Number(position.value)));
  byId("speed").addEventListener("change", (event) => restart(() => { speed = Number(event.target.value); }));
  for (const box of document.querySelectorAll(".voice")) {
    box.checked = true;
    box.addEventListener("change", () => {
      const voice = voices.find((one) => one.name === box.value);
      voice.muted = !box.checked;
      if (playing()) voice.gain.gain.value = box.checked ? 1 : 0;
      for (const part of document.querySelectorAll(`[data-voice="${CSS.escape(box.value)}"]`)) part.classList.toggle("muted", !box.checked);
    });
  }
  chart.addEventListener("click", (event) => {
    const area = chart.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * chart.viewBox.baseVal.width;
    seek(((x - DATA.left) / (DATA.right - DATA.left)) * DATA.seconds);
    start();
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, summary, button, a")) return;
    if (event.key === " ") toggle();
    else if (event.key === "ArrowRight") seek(time() + DATA.beat);
    else if (event.key === "ArrowLeft") seek(time() - DATA.beat);
    else return;
    event.preventDefault();
  });
  draw();
})();
