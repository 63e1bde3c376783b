import pytest

from softprompt.data import pairs
from softprompt.data.formats.table_to_text import linearize, read_e2e
from softprompt.errors import DataError


def test_linearize_keeps_fields_values_and_order():
    mr = "name[Blue Spice], eatType[coffee shop], customer rating[5 out of 5], near[Crowne Plaza Hotel]"
    assert linearize(mr) == (
        "name : Blue Spice | eatType : coffee shop | customer rating : 5 out of 5 | near : Crowne Plaza Hotel"
    )


def test_linearize_takes_commas_in_values():
    assert linearize("name[Tea, Ltd], priceRange[£20-25]") == "name : Tea, Ltd | priceRange : £20-25"


@pytest.mark.parametrize(
    "mr", ["name Blue Spice", "name[A], area", "name[A] area[b]", "name[], a[b]", "name[A],", "[A]"]
)
def test_malformed_representation_names_the_line(write, mr):
    path = write("e2e.csv", f'mr,ref\r\n"name[A]",ok\r\n"{mr}",text\r\n')
    with pytest.raises(
        DataError, match=r"e2e\.csv, line 3: got .*, expected attributes such as name\[Blue Spice\]"
    ):
        read_e2e(path)


def test_rows_of_one_representation_are_one_record_wherever_they_stand(write):
    path = write(
        "e2e.csv",
        '\ufeffmr,ref\r\n"name[A], area[x]","One,\r\ntwo. "\r\nname[B],B.\r\n"name[A], area[x]",Three.\r\n',
    )
    first, second = read_e2e(path)
    assert (first.id, first.source, first.targets) == (
        "e2e.csv:2",
        "name : A | area : x",
        ("One,\r\ntwo.", "Three."),
    )
    assert (second.id, second.source, second.targets) == ("e2e.csv:4", "name : B", ("B.",))


def test_file_without_references_names_the_missing_column(write):
    with pytest.raises(
        DataError,
        match=r"testset\.csv, line 1: got no column 'ref', expected .*\. Choose one of the columns here: "
        r"mr\.$",
    ):
        read_e2e(write("testset.csv", 'mr\n"name[A]"\n'))


def test_empty_reference_names_the_line(write):
    with pytest.raises(
        DataError, match=r"line 3: got an empty 'ref', expected a text\. Fill it in or remove"
    ):
        read_e2e(write("e2e.csv", "mr,ref\nname[A],A.\nname[B],  \n"))


@pytest.mark.parametrize(
    ("name", "records", "n_pairs"), [("devset.csv", 547, 4672), ("testset_w_refs.csv", 630, 4693)]
)
def test_published_files(real, name, records, n_pairs):
    read = read_e2e(real("e2e") / name)
    assert (len(read), len(pairs(read))) == (records, n_pairs)
    assert len({record.source for record in read}) == records


def test_first_published_test_record(real):
    first = read_e2e(real("e2e") / "testset_w_refs.csv")[0]
    assert first.source == "name : Blue Spice | eatType : coffee shop | area : city centre"
    assert first.targets == (
        "A coffee shop in the city centre area called Blue Spice.",
        "Blue Spice is a coffee shop in city centre.",
    )
