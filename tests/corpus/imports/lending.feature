# The desk's main work
@loans @p1 @LIB-12
Feature: Lending tools
  As a member of the workshop
  I want to borrow tools
  So that I need not buy them

  Background:
    Given a member "Ada"
    And the tools:
      | name  | state |
      | drill | in    |
      | saw   | out   |

  @LIB-13 @smoke
  Scenario: Borrow a tool that is in
    When Ada borrows the drill
    Then the drill is out
    But the saw is still out

  Rule: Nobody has more than three tools

    Background:
      Given Ada has three tools

    Example: The fourth is refused
      When Ada borrows the drill
      Then she is told:
        """
        You have three tools already.
          Bring one back first.
        """

  Rule: Overdue tools cost a fee

    @p2
    Scenario Outline: Fee after <days> days
      Given a tool that is <days> days overdue
      When Ada brings it back
      Then the fee is <fee> <currency>

      @LIB-20
      Examples: Short delays
        | days | fee  | note   |
        | 1    | 0.50 | a \| b |
        | 7    | 3.50 |        |

      Examples:
        | days | fee |
        | 30   | 12  |

  Rule: A tool in repair is never lent

    Scenario: To be written
