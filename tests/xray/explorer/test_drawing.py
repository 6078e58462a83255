"""What is made as markup outside of a template escapes what comes from the database."""

from types import SimpleNamespace

from xray.explorer.drawing import circles, dot_plot, score_rows

HOSTILE = '<script>alert("1")</script>&'


def test_names_of_models_and_findings_stay_text() -> None:
    scores = [
        SimpleNamespace(task=f"Pleural_{HOSTILE}", model=HOSTILE, logit=-1.5, probability=0.25),
        SimpleNamespace(task=f"Pleural_{HOSTILE}", model="b/0", logit=None, probability=None),
    ]
    ((row,), _) = dot_plot(scores, ["b/0"])
    escaped = "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;"
    assert circles(row) == (
        f'<circle class="dot" cx="{150 + 410 / 4}" cy="26" r="4.5"><title>{escaped}: 0.250</title></circle>'
    )
    first, second = score_rows(scores).split("</tr>")[:2]
    assert (
        first == f'<tr><th scope="row">Pleural {escaped}</th><td>{escaped}</td><td>−1.500</td><td>0.250</td>'
    )
    assert second.endswith("<td>b/0</td><td>–</td><td>–</td>")
