export class Transcript {
    constructor(list, scroller) {
        this.list = list;
        this.scroller = scroller;
        this.lines = new Map();
    }
    reset() {
        this.lines.clear();
        this.list.replaceChildren();
    }
    show(words) {
        const key = `${words.role}-${words.turn}`;
        const line = this.lines.get(key);
        if (!words.text) {
            line?.remove(); // it was nothing after all
            this.lines.delete(key);
            return;
        }
        const shown = line ?? this.add(key, words);
        const text = shown.querySelector(".text");
        text.textContent = words.keys ? `pressed ${words.text}` : words.text;
        shown.classList.toggle("partial", !words.final);
        shown.classList.toggle("cut", words.cut);
        const note = shown.querySelector(".note");
        note.textContent = words.cut ? "interrupted here" : "";
        this.scroll();
    }
    scroll() {
        this.scroller.scrollTop = this.scroller.scrollHeight;
    }
    // What the log says of a line that was still open when the call ended.
    settle(turn, said, cut) {
        const line = this.lines.get(`assistant-${turn}`);
        if (line?.classList.contains("partial"))
            this.show({ turn, role: "assistant", text: said, final: true, cut, keys: false });
    }
    add(key, words) {
        const line = document.createElement("li");
        line.className = `line ${words.role}`;
        line.dataset.turn = String(words.turn);
        const who = document.createElement("span");
        who.className = "who";
        who.textContent = words.role === "user" ? "You" : "Agent";
        const text = document.createElement("p");
        text.className = "text";
        const note = document.createElement("span");
        note.className = "note";
        line.append(who, text, note);
        this.list.append(line);
        this.lines.set(key, line);
        return line;
    }
}
