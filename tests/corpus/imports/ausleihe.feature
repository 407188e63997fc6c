# language: de
Funktionalität: Werkzeug ausleihen
  Als Mitglied möchte ich Werkzeug ausleihen.

  Grundlage:
    Angenommen ein Mitglied "Grete"

  Szenario: Eine Säge ausleihen
    Wenn Grete die Säge ausleiht
    Dann ist die Säge außer Haus
    Und Grete hat ein Werkzeug

  Szenariogrundriss: Gebühren
    Gegeben sei ein Werkzeug, das <tage> Tage überfällig ist
    Wenn Grete es zurückbringt
    Dann zahlt sie <gebühr> Euro

    Beispiele:
      | tage | gebühr |
      | 1    | 0,50   |
